// Package notify starts a command under a seccomp filter that reports its bpf(2) calls of interest
// to the calling process, and receives those reports.
//
// The filter has to be installed in the command's own process before its execve. Go gives no hook
// between fork and exec, so [Start] executes the calling program a second time as a shim: it installs
// the filter on its thread, hands the listener back over a socket, and becomes the command. Everything
// else of the process (descriptors, environment, directory, group, credentials) is as without it.
//
// The package does not look into what is reported; see package collect.
package notify

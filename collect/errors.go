package collect

import "errors"

// Errors that callers tell apart with [errors.Is].
var (
	// ErrTruncated is returned for a covdata file that ends before it should.
	ErrTruncated = errors.New("truncated covdata file")
	// ErrFormat is returned for a file that is not covdata, is damaged, or is of a newer version.
	ErrFormat = errors.New("not a readable covdata file")
	// ErrNoCoverage is returned when a run touched no counters at all. The error says why.
	ErrNoCoverage = errors.New("no counters found")
	// ErrBuildMismatch is returned when two things of one object id describe different builds.
	ErrBuildMismatch = errors.New("different builds")
	// ErrNotSupported is returned by [Watch] where the system cannot watch a command.
	ErrNotSupported = errors.New("watching BPF loaders is not supported here")
	// ErrListener is returned by [Watch] when the calling process already runs under a seccomp
	// filter with a listener, of which the kernel allows one.
	ErrListener = errors.New("another seccomp listener watches this process")
)

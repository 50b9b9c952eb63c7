// Package filewatch reports which process opens which file and which program it executes.
//
// BPF programs filter in the kernel, by process, user, command name and path, and pass what is
// left through a ring buffer, or through a perf buffer on kernels before 5.8. It needs root, Linux
// 5.10 with BTF, and amd64, arm64, ppc64le, riscv64 or
// s390x.
//
// The package must be generated before it builds: go generate compiles bpf/filewatch.bpf.c with
// clang, or with the compiler named in BPF2GO_CC, and needs libbpf's headers.
package filewatch

// bpf2go must run on the machine that builds, whatever GOARCH the package is built for. The object
// keeps its debug information (-no-strip) so that no llvm-strip of the right version is needed.
//go:generate env GOOS= GOARCH= go tool bpf2go -no-strip -go-package filewatch -target $GOARCH -no-global-types -type event -type filter probe bpf/filewatch.bpf.c -- -Wall -Werror

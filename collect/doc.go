// Package collect gathers the coverage of instrumented BPF objects while somebody else's command
// loads and runs them.
//
// [Watch] runs a command so that every BPF program which it, or any process that it starts, loads is
// seen. The maps that hold bpfcov's counters are recognised by their content and kept open, so that
// they outlive the loader; what the kernel's verifier made of each program is read back. Nothing in
// the command changes: no ptrace, no pin, no library.
//
// What a run leaves behind is a [Record]. Records are kept in covdata folders, see [WriteRecord] and
// [ReadDir], and merged per cell by [MergeCells].
//
// The types, covdata and merging work on every operating system. Watching needs Linux 5.10 or later,
// CAP_SYS_ADMIN, and one of amd64, arm64, ppc64le, riscv64 and s390x.
//
// The package does not know what a counter means: see instrument/covmap and report/model.
package collect

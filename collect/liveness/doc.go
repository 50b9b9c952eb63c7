// Package liveness finds out which memory of BPF array maps a program can write to.
//
// It is meant for coverage counters: an update that is in the instructions which a loader gave to the
// kernel, and not in those which the kernel kept, was removed by the verifier as unreachable.
//
// What counts is the store or atomic operation, not the address: compilers hoist address loads above
// the branch that leads to the update, and the verifier keeps those. Addresses are followed forward
// through moves, additions of constants and spills to the stack. Where two different addresses meet,
// the access is a maybe; where the offset is lost, all of the map may be written.
//
// Addresses in r1 to r5 at a call are not taken for arguments: after an update a counter's address
// stays behind in a register, calls follow, and nothing in a program's source can name a counter.
//
// The package is pure: it makes no system calls and takes either byte order.
package liveness

// Package verify answers for one kernel whether each program of a BPF object loads, why not, and what it
// cost the verifier.
//
// Each program is loaded on its own, with the maps that it refers to and nothing else, so that one program's refusal
// says nothing about another. Types and attach types come from section names as libbpf reads them, and from
// the type of the context where a section says nothing or names a program that only a loader could give (freplace). Maps
// are given a size where they have none and shrunk where they are large; pinning is left out. Nothing is attached, nothing runs.
//
// Names and columns follow veristat (tools/testing/selftests/bpf/veristat.c of Linux), which does this for the running kernel.
// Package verify/cells does it for a matrix of kernels, in guests.
//
// Objects are read by github.com/cilium/ebpf. What that library cannot read or load is the class
// [ClassHarness], with its reason: nothing is said about the kernel then.
package verify

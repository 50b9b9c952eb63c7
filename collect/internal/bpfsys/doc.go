// Package bpfsys holds the few bpf(2) commands that watching loaders needs: opening maps and programs
// by id, reading what the kernel says of them, looking up key 0, and loading a program from attributes
// that were captured elsewhere.
//
// It works on raw attributes rather than through a BPF library, because a captured load has to be
// repeated as it was, with fields that this program may not know.
package bpfsys

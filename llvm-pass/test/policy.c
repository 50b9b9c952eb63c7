// Fidelity and counter of each function: a policy file's first match, else the options. What a function
// refers to is part of it; what refers to it is not.
//
// RUN: printf 'off\t-\t*.c\tsilent\nregion\tflag\t*policy.c\tflag*\nline\tflag\t*\tnobody\n' > %t.policy
// RUN: %bpfcov -target bpf -g -O2 -mllvm -bpfcov-policy=%t.policy -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpfeb -g -O2 -mllvm -bpfcov-policy=%t.policy -S -emit-llvm %s -o - | FileCheck --check-prefix=BIG %s
// RUN: %bpfcov -target bpf -g -O2 -mllvm -bpfcov-fidelity=off -S -emit-llvm %s -o - | FileCheck --check-prefix=OFF %s
// OFF: @__bpfcov_counters = internal global <{ [40 x i8], [0 x i64] }>
// OFF-NOT: sideeffect "$0
//
// The wrong words are errors.
// RUN: not %bpfcov -target bpf -O2 -mllvm -bpfcov-fidelity=high -c %s -o %t.o
// RUN: printf 'line\tflag\tprog\n' > %t.bad
// RUN: not %bpfcov -target bpf -O2 -mllvm -bpfcov-policy=%t.bad -c %s -o %t.o 2>&1 | FileCheck --check-prefix=BAD %s
// BAD: error: bpfcov: policy {{.*}}.bad, line 1: want fidelity, counter, file and function, with tabs between them
// RUN: not %bpfcov -target bpf -O2 -mllvm -bpfcov-policy=%t.missing -c %s -o %t.o 2>&1 | FileCheck --check-prefix=MISSING %s
// MISSING: error: bpfcov: cannot read policy {{.*}}.missing: No such file

#define SEC(name) __attribute__((section(name), used))

static __attribute__((noinline)) int silent_helper(int a) { return a > 3 ? a : 9; }

// A width of 8 because not all are flags.
// CHECK: @__bpfcov_counters = internal global <{ [40 x i8], [{{[0-9]+}} x i64] }>

// CHECK: define {{.*}}@counted
// CHECK: asm sideeffect "lock
// CHECK-NOT: asm sideeffect "*(u8
SEC("xdp") int counted(int *ctx) { return *ctx > 3 ? 4 : 5; }

// CHECK: define {{.*}}@flagged
// CHECK-NOT: lock
// CHECK: asm sideeffect "*(u8 *)($0 + ${{[12]}}) = {{\$?}}1", {{.*}} i64 56)
// CHECK-NOT: lock
// BIG: define {{.*}}@flagged
// BIG: asm sideeffect "*(u8 *)($0 + ${{[12]}}) = {{\$?}}1", {{.*}} i64 63)
SEC("xdp") int flagged(int *ctx) { return *ctx > 3 ? 4 : 5; }

// CHECK: define {{.*}}@silent(
// CHECK-NOT: sideeffect "$0
// CHECK: define {{.*}}@silent_helper
// CHECK-NOT: sideeffect "$0
// CHECK: attributes
SEC("xdp") int silent(int *ctx) { return silent_helper(*ctx); }

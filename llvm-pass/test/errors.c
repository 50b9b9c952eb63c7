// What cannot be instrumented fails with a sentence, and through clang's own diagnostics.
//
// RUN: not %bpfcov -target bpf -c %s -o %t.o 2>&1 | FileCheck --check-prefix=O0 %s
// O0: error: bpfcov: cannot instrument at -O0, whose BPF objects do not load: compile with -O1 or higher
//
// A unit without programs is likely a script that tries the compiler.
// RUN: echo 'int f(int a) { return a; }' | %bpfcov -target bpf -x c -c - -o %t.o
// RUN: llvm-readelf -SW %t.o | FileCheck --check-prefix=PROBE %s
// PROBE-NOT: __llvm
// PROBE-NOT: bpfcov
//
// A module for another target is none of our business.
// RUN: %bpfcov -target x86_64-linux-gnu -O2 -S -emit-llvm %s -o - | FileCheck --check-prefix=X86 %s
// X86: @__profc_
// X86-NOT: bpfcov

__attribute__((section("xdp"), used)) int prog(int *ctx) { return *ctx > 1 && *ctx < 5; }

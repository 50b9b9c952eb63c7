// REQUIRES: llvm-18-or-newer
// RUN: not %bpfcov -target bpf -O2 -fcoverage-mcdc -c %s -o %t.o 2>&1 | FileCheck %s
// CHECK: error: bpfcov: function prog: MC/DC coverage is not supported yet: compile without -fcoverage-mcdc
// CHECK: 1 error generated

__attribute__((section("xdp"), used)) int prog(int *ctx) { return *ctx > 1 && *ctx < 5; }

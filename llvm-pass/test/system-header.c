// Functions of system headers have no mapping, so they need no counters.
//
// RUN: %bpfcov -target bpf -O2 -isystem %S/Inputs -S -emit-llvm %s -o - | FileCheck %s
// CHECK: @__bpfcov_counters = internal global <{ [40 x i8], [1 x i64] }>
#include <system.h>

__attribute__((section("xdp"), used)) int prog(int *ctx) { return from_header(*ctx); }

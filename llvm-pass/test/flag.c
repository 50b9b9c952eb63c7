// RUN: %bpfcov -target bpf -O2 -mllvm -bpfcov-counter=flag -S -emit-llvm %s -o - | FileCheck %s
// RUN: not %bpfcov -target bpf -O2 -mllvm -bpfcov-counter=double -c %s -o %t.o
//
// CHECK: @__bpfcov_counters = internal global <{ [40 x i8], [8 x i8] }>
// CHECK: store volatile i8 %
// CHECK-NEXT: call void asm sideeffect "", "i"(i32 0)
// CHECK-NOT: atomicrmw

__attribute__((section("xdp"), used)) int prog(int *ctx) {
  if (*ctx > 3)
    return 5;
  return *ctx;
}

// At "probe" the optimiser folds what it folds of the function by itself, and a counter goes with its
// region. One that is left is an ordinary counter.
//
// RUN: %bpfcov -target bpf -O2 -mllvm -bpfcov-fidelity=probe -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpf -Os -mllvm -bpfcov-fidelity=probe -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpfeb -O1 -mllvm -bpfcov-fidelity=probe -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpf -O2 -mllvm -bpfcov-fidelity=probe -c %s -o %t.o
// RUN: llvm-readelf -x __bpfcov_fun %t.o | FileCheck --check-prefix=TABLE %s
// Fidelity 1; counters 0, 2 and 3 were emitted, 1 was folded.
// TABLE: 0x00000040 01000000 00000000
// TABLE: 0x00000060 01000000 00000000 0d000000

__attribute__((section("xdp"), used)) unsigned clamp(unsigned *ctx) {
  unsigned size = ctx[0];
  // CHECK: define {{.*}}@clamp
  // CHECK-NOT: llvm.pseudoprobe
  // CHECK: asm sideeffect "lock {{.*}} i64 40)
  // CHECK-NOT: asm sideeffect "lock {{.*}} i64 48)
  // CHECK: {{select|umin}}
  // CHECK: ret
  if (size > 64)
    size = 64;
  return size;
}

__attribute__((section("xdp"), used)) int call(unsigned *ctx) {
  // CHECK: define {{.*}}@call
  // CHECK: asm sideeffect "lock {{.*}} i64 56)
  // CHECK: br i1
  // CHECK: asm sideeffect "lock {{.*}} i64 64)
  if (ctx[0] > 64)
    ((long (*)(void))7)();
  return 0;
}
// CHECK-NOT: llvm.pseudoprobe

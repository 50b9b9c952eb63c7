// A naked function has no prologue and reads its arguments from registers: it stays as it is, and its
// record says "off" (3).
//
// RUN: %bpfcov -target bpf -O2 -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpf -O2 -c %s -o %t.o
// RUN: llvm-readelf -x __bpfcov_fun %t.o | FileCheck --check-prefix=TABLE %s
// TABLE: 0x00000040 03000000 00000000
// It has no counters, and the only one is that of prog.
// TABLE: 0x00000060 00000000 00000000 01000000

// CHECK: define {{.*}}@naked
// CHECK-NOT: sideeffect "$0
// CHECK: asm sideeffect "r0 = r1
// CHECK: define {{.*}}@prog
// CHECK: sideeffect "$0 = $1 ll"
__attribute__((section("socket"), used, naked)) int naked(void *ctx) {
  asm volatile("r0 = r1; r0 = 0; exit;");
}

__attribute__((section("xdp"), used)) int prog(int *ctx) { return *ctx; }

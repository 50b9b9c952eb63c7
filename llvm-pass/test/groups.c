// The callee's entry, which is inlined twice, is counted with what surrounds its copies.
//
// RUN: %bpfcov -target bpf -O2 -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpf -Os -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpf -O2 -mllvm -bpfcov-group=false -S -emit-llvm %s -o - | FileCheck --check-prefix=SINGLE %s
// RUN: %bpfcov -target bpf -O2 -mllvm -bpfcov-counter=flag -S -emit-llvm %s -o - | FileCheck --check-prefix=FLAG %s
//
// 2 counters of twice, 3 of prog: its own, the then and what is left are 3 places.
// CHECK: define {{.*}}@prog
// CHECK-COUNT-2: "lock
// CHECK-NOT: "lock
// SINGLE: define {{.*}}@prog
// SINGLE-COUNT-4: "lock
// FLAG: define {{.*}}@prog
// FLAG-COUNT-2: "*(u8
// FLAG-NOT: "*(u8

volatile int sink;

static inline __attribute__((always_inline)) void store(int v) { sink = v; }

__attribute__((section("xdp"), used)) int prog(int *ctx) {
  store(1);
  if (*ctx == 3)
    store(2);
  return 2;
}

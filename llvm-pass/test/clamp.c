// A limit on a value stays the minimum or maximum that it is without counters, and the counter asks whether that
// changed the value. See Clamp.h.
//
// RUN: %bpfcov -target bpf -O2 -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpf -O2 -c %s -o %t.o
// RUN: llvm-objdump -d --no-show-raw-insn %t.o | FileCheck --check-prefix=CODE %s

#define SEC __attribute__((section("xdp"), used))
unsigned long slots[32];
long sink;

// CHECK-LABEL: define {{.*}}@high
// CHECK: %[[MIN:.*]] = {{.*}}call i64 @llvm.umin.i64(i64 %[[X:.*]], i64 31)
// CHECK: %[[OUT:.*]] = call i64 asm "", "=r,0"(i64 %[[MIN]])
// CHECK: icmp ne i64 %[[OUT]], %[[X]]
// CHECK: br i1
// CODE-LABEL: <high>:
// CODE: if r[[A:[0-9]]] == r[[B:[0-9]]] goto +
// CODE-NEXT: lock
SEC int high(unsigned long *ctx) {
  unsigned long x = *ctx;
  if (x >= 32)
    x = 31;
  slots[x] = 1;
  return 0;
}

// CHECK-LABEL: define {{.*}}@low
// CHECK: call i64 @llvm.smax.i64(i64 {{.*}}, i64 -3)
SEC int low(int *ctx) {
  int x = *ctx;
  if (x < -3)
    x = -3;
  sink = x;
  return 0;
}

// None of these is a limit.
// CHECK-LABEL: define {{.*}}@gap
// CHECK-NOT: asm ""
// CHECK: ret
SEC int gap(unsigned long *ctx) {
  unsigned long x = *ctx;
  if (x > 31)
    x = 30;
  sink = x;
  return 0;
}

// CHECK-LABEL: define {{.*}}@after
// CHECK-NOT: call i64 @llvm.umin
// CHECK: ret
SEC int after(unsigned long *ctx) {
  unsigned long x = *ctx;
  if (x++ > 31)
    x = 31;
  sink = x;
  return 0;
}

// CHECK-LABEL: define {{.*}}@two
// CHECK-NOT: call i64 @llvm.umin
// CHECK: ret
SEC int two(unsigned long *ctx) {
  unsigned long x = *ctx;
  if (x > 31) {
    x = 31;
    sink++;
  }
  sink = x;
  return 0;
}

// CHECK-LABEL: define {{.*}}@half
// CHECK-NOT: @llvm.umin
// CHECK: ret
SEC int half(unsigned long *ctx) {
  unsigned long x = *ctx;
  if (x > 31)
    *(unsigned *)&x = 31;
  sink = x;
  return 0;
}

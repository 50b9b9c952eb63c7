// At "line" the code is the plain compiler's, and each of its basic blocks has a counter. Lines come from
// debug locations, those of calls that were inlined included.
//
// RUN: %bpfcov -target bpf -g -O2 -mllvm -bpfcov-fidelity=line -mllvm -bpfcov-counter=flag -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpfeb -g -Os -mllvm -bpfcov-fidelity=line -mllvm -bpfcov-counter=flag -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpf -g -O2 -mllvm -bpfcov-fidelity=line -mllvm -bpfcov-counter=flag -c %s -o %t.o
// RUN: llvm-readelf -x __bpfcov_fun %t.o | FileCheck --check-prefix=TABLE %s
// Two functions at fidelity 2 with flags and without counters of their own; then, after 3 bits of emitted
// counters, a line table of 20 bytes.
// TABLE: 0x00000000 42504643 4f564601 04000100 03000000
// TABLE: 0x00000040 02010000 00000000
// TABLE: 0x00000060 02010000 00000000 07140000 00030003

// The plain select stays.
// RUN: %bpfcov -target bpf -g -O2 -mllvm -bpfcov-fidelity=line -S -emit-llvm %s -o - | FileCheck --check-prefix=SELECT %s
// SELECT: define {{.*}}@prog
// SELECT: {{select|umin}}

// CHECK: define {{.*}}@prog
// CHECK-COUNT-3: asm sideeffect "*(u8
// CHECK-NOT: asm sideeffect "*(u8
// CHECK: ret i32

static inline __attribute__((always_inline)) int inlined(int a) {
  if (a > 1000)
    ((long (*)(void))7)();
  return a;
}

__attribute__((section("xdp"), used)) int prog(unsigned *ctx) {
  unsigned size = ctx[0];
  if (size > 64)
    size = 64;
  size += inlined(ctx[1]);
  return size;
}

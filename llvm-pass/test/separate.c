// Code generation must not merge the updates of sibling blocks either: each has its own atomic add
// with its own offset, no address is chosen by a branch.
//
// RUN: %bpfcov -target bpf -O2 -mcpu=v1 -c %s -o %t.o
// RUN: llvm-objdump -d --no-show-raw-insn %t.o | FileCheck %s
// RUN: %bpfcov -target bpf -O2 -mcpu=v3 -c %s -o %t.o
// RUN: llvm-objdump -d --no-show-raw-insn %t.o | FileCheck %s
// RUN: %bpfcov -target bpf -Os -c %s -o %t.o
// RUN: llvm-objdump -d --no-show-raw-insn %t.o | FileCheck %s
//
// The add must be the one without fetch: kernels before 5.12 have no other.
// CHECK-NOT: atomic_fetch
// CHECK-DAG: lock *(u64 *)(r{{[0-9]}} + {{0x28|40}}) += r{{[0-9]$}}
// CHECK-DAG: lock *(u64 *)(r{{[0-9]}} + {{0x30|48}}) += r{{[0-9]$}}
// CHECK-DAG: lock *(u64 *)(r{{[0-9]}} + {{0x38|56}}) += r{{[0-9]$}}
// CHECK-DAG: lock *(u64 *)(r{{[0-9]}} + {{0x40|64}}) += r{{[0-9]$}}

volatile unsigned long sink;
const volatile int off = 0;

__attribute__((section("xdp"), used)) int prog(int *ctx) {
  if (off) {
    sink += 1;
  } else if (*ctx & 1) {
    sink += 1;
  } else if (*ctx & 2) {
    sink += 1;
  } else {
    sink += 1;
  }
  return 0;
}

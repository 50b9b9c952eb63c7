// RUN: %bpfcov -target bpf -O2 -mllvm -bpfcov-counter=flag -S -emit-llvm %s -o - | FileCheck %s
// RUN: not %bpfcov -target bpf -O2 -mllvm -bpfcov-counter=double -c %s -o %t.o
//
// CHECK: @__bpfcov_counters = internal global <{ [40 x i8], [8 x i8] }>
// CHECK: call void asm sideeffect "*(u8 *)($0 + ${{[12]}}) = {{\$?}}1", "{{(r,)+}}i"({{.*}} i64 40)
// CHECK-NOT: lock
//
// RUN: %bpfcov -target bpf -O2 -mllvm -bpfcov-counter=flag -c %s -o %t.o
// RUN: llvm-objdump -d --no-show-raw-insn %t.o | FileCheck --check-prefix=CODE %s
// CODE: *(u8 *)(r{{[0-9]}} + {{0x28|40}}) = {{[rw][0-9]|(0x)?1$}}

__attribute__((section("xdp"), used)) int prog(int *ctx) {
  if (*ctx > 3)
    return 5;
  return *ctx;
}

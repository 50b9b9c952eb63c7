// What one call of clang with the plugin emits, as IR. Everything is there at every level, and
// nothing of clang's own profile.
//
// RUN: %bpfcov -target bpf -O2 -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpf -O1 -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpf -O3 -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpf -Os -S -emit-llvm %s -o - | FileCheck %s
// RUN: %bpfcov -target bpfeb -O2 -S -emit-llvm %s -o - | FileCheck %s

// CHECK-NOT: comdat
// CHECK-NOT: __prof
// CHECK-NOT: __llvm_profile
// CHECK-NOT: global_ctors
// CHECK: @__bpfcov_counters = internal global {{.*}}section ".data.bpfcov", align 8
// CHECK-NOT: llvm.instrprof
// CHECK-NOT: llvm.var.annotation
static __attribute__((noinline)) int helper(int a) { return a > 3 ? a : 9; }

static inline int unused(int a) { return a; }

// No debug information on the counters: it would become a BTF variable.
// RUN: %bpfcov -target bpf -g -O2 -S -emit-llvm %s -o - | FileCheck --check-prefix=DEBUG %s
// DEBUG: @__bpfcov_counters = internal global
// DEBUG-NOT: !dbg
// DEBUG-SAME: align 8{{$}}
// Updates have a line, of code that they belong to.
// DEBUG: asm sideeffect "lock {{.*}}, !dbg

// CHECK: define {{.*}}@prog
// CHECK: call void asm sideeffect "lock *(u64 *)($0 + $2) += $1"
__attribute__((section("xdp"), used)) int prog(int *ctx) { return helper(*ctx); }

// The attribute is clang's, and the pass has nothing to do.
// CHECK: define {{.*}}@bare
// CHECK-NOT: sideeffect
// CHECK: ret
__attribute__((section("xdp"), used, no_profile_instrument_function)) int bare(int *ctx) {
  return *ctx > 3 ? 4 : 5;
}

// A value that was loaded stays known behind a counter. If it did not, its second load and that of the context
// in the other branch, both at offset 0, would become one, and the verifier refuses an instruction that has two
// kinds of pointers (Linux selftests, test_sockmap_kern.h, bpf_prog1).
//
// RUN: %bpfcov -target bpf -O2 -S -emit-llvm %s -o - | FileCheck %s

static int *(*lookup)(int) = (void *)1;

// CHECK-LABEL: define {{.*}}@prog
// CHECK-NOT: phi {{(ptr|i32\*)}}
// CHECK: ret
__attribute__((section("sk_skb"), used)) int prog(int *ctx) {
  int *f = lookup(2);
  if (f && *f)
    return *f;
  return *ctx;
}

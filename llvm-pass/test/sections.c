// The object: one loaded section more, four that are not loaded, no groups, no symbols of the
// profile runtime, and a mapping that llvm-cov reads.
//
// RUN: %bpfcov -target bpfel -g -O2 -c %s -o %t.el.o
// RUN: llvm-readelf -SW %t.el.o | FileCheck %s
// RUN: llvm-readelf -sW %t.el.o | FileCheck --check-prefix=SYMBOLS %s
// RUN: %bpfcov -target bpfeb -g -O2 -c %s -o %t.eb.o
// RUN: llvm-readelf -SW %t.eb.o | FileCheck %s
//
// CHECK-NOT: GROUP
// CHECK-DAG: .data.bpfcov {{ *}}PROGBITS {{.*}} WA 0 0 8
// CHECK-DAG: __llvm_covmap {{ *}}PROGBITS {{ *[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ 00 +}}0 0 8
// CHECK-DAG: __llvm_covfun {{ *}}PROGBITS {{ *[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ 00 +}}0 0 8
// CHECK-DAG: __llvm_prf_names {{ *}}PROGBITS {{ *[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ 00 +}}0 0 8
// CHECK-DAG: __bpfcov_fun {{ *}}PROGBITS {{ *[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ 00 +}}0 0 8
// CHECK-NOT: .rel__
// CHECK-NOT: .init_array
//
// SYMBOLS-NOT: __llvm_profile
// SYMBOLS-NOT: __prof
// SYMBOLS-NOT: __llvm_cov
// SYMBOLS: OBJECT LOCAL DEFAULT {{.*}} __bpfcov_counters
//
// The header and the table have the object's byte order: version 1, width 8, 3 counters and two for
// groups.
// RUN: llvm-readelf -x .data.bpfcov %t.el.o | FileCheck --check-prefix=EL %s
// RUN: llvm-readelf -x .data.bpfcov %t.eb.o | FileCheck --check-prefix=EB %s
// EL: 42504643 4f561a01 01000800 05000000
// EB: 42504643 4f561a01 00010008 00000005
// RUN: llvm-readelf -x __bpfcov_fun %t.eb.o | FileCheck --check-prefix=TABLE %s
// TABLE: 42504643 4f564601 00040008 00000005
//
// RUN: llvm-profdata merge %S/Inputs/empty.proftext -o %t.profdata
// RUN: llvm-cov export -format=lcov -instr-profile %t.profdata %t.el.o | FileCheck --check-prefix=LCOV %s
// RUN: llvm-cov export -format=lcov -instr-profile %t.profdata %t.eb.o | FileCheck --check-prefix=LCOV %s
// LCOV-DAG: FN:[[@LINE+3]],{{.*}}helper
// LCOV-DAG: FN:[[@LINE+3]],{{.*}}unused
// LCOV-DAG: FN:[[@LINE+3]],prog
static int helper(int a) { return a > 3 ? a : 9; }
static inline int unused(int a) { return a; }
__attribute__((section("xdp"), used)) int prog(int *ctx) { return helper(*ctx); }

; Increments become markers, the mapping becomes metadata, and nothing of the profile is left for
; clang's own lowering.
;
; REQUIRES: llvm-15-or-newer
; RUN: %opt -passes=bpfcov-mark,verify -S %s | FileCheck %s

target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "bpf"

; CHECK-NOT: {{__covrec_|__llvm_coverage|__profn_|undef}}
; CHECK-DAG: @__bpfcov_marker = private constant i8 0
; The user's own entries stay in the lists, and no list holds undef.
; CHECK-DAG: @llvm.used = appending global [1 x ptr] [ptr @mine], section "llvm.metadata"
; CHECK-DAG: @llvm.compiler.used = appending global [1 x ptr] [ptr @f], section "llvm.metadata"

; CHECK-NOT: {{__covrec_|__llvm_coverage|__profn_|undef}}

$__covrec_FE9D61A2E3D4D2C8u = comdat any
@mine = global i32 0
@__profn_f = private constant [1 x i8] c"f"
@__profn_dummy = private constant [5 x i8] c"dummy"
@__covrec_FE9D61A2E3D4D2C8u = linkonce_odr hidden constant <{ i64, i32, i64, i64, [9 x i8] }> <{ i64 -3706093650706652785, i32 9, i64 24, i64 77, [9 x i8] c"\01\01\00\01\01\01\0A\02\02" }>, section "__llvm_covfun", comdat, align 8
@__llvm_coverage_mapping = private constant { { i32, i32, i32, i32 }, [7 x i8] } { { i32, i32, i32, i32 } { i32 0, i32 7, i32 0, i32 5 }, [7 x i8] c"\02\04\00\01.\01a" }, section "__llvm_covmap", align 8
@__llvm_coverage_names = internal constant [1 x ptr] [ptr @__profn_dummy]
@llvm.used = appending global [3 x ptr] [ptr @__covrec_FE9D61A2E3D4D2C8u, ptr @mine, ptr @__llvm_coverage_mapping], section "llvm.metadata"
@llvm.compiler.used = appending global [1 x ptr] [ptr @f], section "llvm.metadata"

; CHECK-LABEL: define i64 @f
define i64 @f(i1 %c, i64 %n) section "xdp" {
; CHECK: call void @llvm.sideeffect() #[[LIGHT:[0-9]+]]
  call void @llvm.instrprof.increment(ptr @__profn_f, i64 24, i32 4, i32 0)
; A step of zext i1 keeps its condition; a wide one travels as a pointer.
; CHECK: %[[S:.*]] = zext i1 %c to i32
; CHECK: call void @llvm.var.annotation{{.*}}(ptr inttoptr (i64 1 to ptr), ptr @__bpfcov_marker, ptr null, i32 %[[S]], ptr null) #[[NM:[0-9]+]]
  %s = zext i1 %c to i64
  call void @llvm.instrprof.increment.step(ptr @__profn_f, i64 24, i32 4, i32 1, i64 %s)
; CHECK: %[[W:.*]] = inttoptr i64 %n to ptr
; CHECK: call void @llvm.var.annotation{{.*}}(ptr inttoptr (i64 2 to ptr), ptr @__bpfcov_marker, ptr null, i32 0, ptr %[[W]]) #[[NM]]
  call void @llvm.instrprof.increment.step(ptr @__profn_f, i64 24, i32 4, i32 2, i64 %n)
; CHECK: call void @llvm.var.annotation{{.*}}(ptr inttoptr (i64 3 to ptr), ptr @__bpfcov_marker, ptr null, i32 -1, ptr null) #[[NM]]
  call void @llvm.instrprof.increment.step(ptr @__profn_f, i64 24, i32 4, i32 3, i64 4294967295)
; CHECK-NEXT: ret
  ret i64 %s
}

; A body that has no mapping record, as those of system headers, gets no counters.
; CHECK-LABEL: define void @unmapped
; CHECK-NEXT: ret void
@__profn_unmapped = private constant [8 x i8] c"unmapped"
define void @unmapped() {
  call void @llvm.instrprof.increment(ptr @__profn_unmapped, i64 9, i32 1, i32 0)
  ret void
}

declare void @llvm.instrprof.increment(ptr, i64, i32, i32)
declare void @llvm.instrprof.increment.step(ptr, i64, i32, i32, i64)

; CHECK-DAG: attributes #[[LIGHT]] = { nomerge "bpfcov-counter"="0" }
; CHECK-DAG: attributes #[[NM]] = { nomerge }
; CHECK: !bpfcov.coverage = !{![[HEAD:[0-9]+]], ![[F:[0-9]+]]}
; CHECK: ![[F]] = !{i64 -3706093650706652785, i64 24, i64 0, i64 4, i64 0, i64 0, null}

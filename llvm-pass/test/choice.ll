; Should a pass merge markers in spite of nomerge, the counts stay exact: the index is asked for at
; run time.
;
; REQUIRES: llvm-16-or-newer
; RUN: %opt -passes=bpfcov-lower,verify -S %s | FileCheck %s
; RUN: sed -e 's/^;BAD //' %s | not %opt -passes=bpfcov-lower -disable-output 2>&1 | FileCheck --check-prefix=BAD %s

target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "bpf"
@__bpfcov_marker = private constant i8 0

; CHECK-LABEL: define void @merged
define void @merged(i1 %c, i1 %d) {
  br i1 %c, label %a, label %b
a:
  br label %join
b:
  %sel = select i1 %d, ptr inttoptr (i64 1 to ptr), ptr inttoptr (i64 2 to ptr)
  br label %join
join:
; CHECK: %index = phi ptr
; CHECK: %[[W:.*]] = ptrtoint ptr %index to i64
; CHECK-DAG: icmp eq i64 %[[W]], 0
; CHECK-DAG: asm sideeffect "lock {{.*}} i64 40)
; CHECK-DAG: icmp eq i64 %[[W]], 1
; CHECK-DAG: asm sideeffect "lock {{.*}} i64 48)
; CHECK-DAG: icmp eq i64 %[[W]], 2
; CHECK-DAG: asm sideeffect "lock {{.*}} i64 56)
; CHECK: ret void
  %index = phi ptr [ null, %a ], [ %sel, %b ]
  call void @llvm.var.annotation.p0.p0(ptr %index, ptr @__bpfcov_marker, ptr null, i32 1, ptr null)
  ret void
}

; BAD: error: bpfcov: function bad: the optimiser changed a counter update beyond recognition
;BAD define void @bad(ptr %p) {
;BAD   call void @llvm.var.annotation.p0.p0(ptr %p, ptr @__bpfcov_marker, ptr null, i32 1, ptr null)
;BAD   ret void
;BAD }

!bpfcov.coverage = !{!0, !1}
!0 = !{!"", !"", !""}
!1 = !{i64 1, i64 2, i64 0, i64 3, i64 0}

declare void @llvm.var.annotation.p0.p0(ptr, ptr, ptr, i32, ptr)

; A branch falls through to one of the blocks that it leads to, and of two that only differ in an update, that comes first.
;
; REQUIRES: llvm-16-or-newer
; RUN: %opt -passes=bpfcov-lower,verify -S %s | FileCheck %s

target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "bpf"

; What two lead to comes behind both.
; CHECK-LABEL: define void @triangle
; CHECK: {{^}}counted:
; CHECK: {{^}}end:
; CHECK: {{^}}last:
; CHECK: {{^}}other:
define void @triangle(i1 %c, i1 %d, ptr %p) {
  br i1 %c, label %first, label %other
other:
  store i64 5, ptr %p
  br label %end
first:
  br i1 %d, label %end, label %counted
last:
  ret void
end:
  store i64 7, ptr %p
  br label %last
counted:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  store i64 9, ptr %p
  br label %end
}

; CHECK-LABEL: define i64 @returns
; CHECK: {{^}}counted:
; CHECK: {{^}}plain:
define i64 @returns(i1 %c) {
  br i1 %c, label %plain, label %counted
plain:
  ret i64 0
counted:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  ret i64 0
}

declare void @llvm.sideeffect()

!bpfcov.coverage = !{!0, !1}
!0 = !{!"cm", !"cf", !"nn"}
!1 = !{i64 1, i64 2, i64 0, i64 1, i64 0}

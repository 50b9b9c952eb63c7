; In a module that throws, every function of it may, and whoever calls back one.
;
; REQUIRES: llvm-16-or-newer
; RUN: %opt -passes=bpfcov-lower,verify -S %s | FileCheck %s

target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "bpf"

; CHECK-LABEL: define void @throw
; CHECK: "lock {{.*}}, i64 40)
; CHECK: "lock {{.*}}, i64 48)
define void @throw() {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  call void @bpf_throw(i64 1)
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  ret void
}

; CHECK-LABEL: define void @call
; CHECK: "lock {{.*}}, i64 40)
; CHECK: "lock {{.*}}, i64 48)
define void @call() {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  call void @throw()
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  ret void
}

; CHECK-LABEL: define void @callback
; CHECK: "lock {{.*}}, i64 40)
; CHECK: "lock {{.*}}, i64 48)
define void @callback() {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  call i64 inttoptr (i64 181 to ptr)(i64 3, ptr @throw, ptr null, i64 0)
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  ret void
}

; CHECK-LABEL: define void @helper
; CHECK: "lock {{.*}}, i64 72)
; CHECK: ret void
define void @helper() {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  call i64 inttoptr (i64 14 to ptr)()
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  ret void
}

declare void @bpf_throw(i64) section ".ksyms"
declare void @llvm.sideeffect()

!bpfcov.coverage = !{!0, !1}
!0 = !{!"cm", !"cf", !"nn"}
!1 = !{i64 1, i64 2, i64 0, i64 4, i64 0}

; SimplifyCFG sinks the common end of sibling blocks and selects the operands. Two markers must not
; become one that way. LLVM 19 spares intrinsics with constant operands anyway; the second RUN is the
; control that without nomerge a marker with a variable operand would be sunk.
;
; REQUIRES: llvm-16-or-newer
; RUN: %opt -passes='simplifycfg<sink-common-insts>' -S %s | FileCheck %s
; RUN: sed -e 's/ nomerge$//' %s | %opt -passes='simplifycfg<sink-common-insts>' -S | FileCheck --check-prefix=CONTROL %s

target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "bpf"
@__bpfcov_marker = private constant i8 0

; CHECK-LABEL: define void @f
; CHECK: call void @llvm.var.annotation{{.*}}, ptr %w)
; CHECK: call void @llvm.var.annotation{{.*}}, ptr %v)
; CONTROL-LABEL: define void @f
; CONTROL: %[[I:.*]] = select i1 %c, ptr %w, ptr %v
; CONTROL: call void @llvm.var.annotation{{.*}}, ptr %[[I]])
define void @f(i1 %c, ptr %v, ptr %w) {
  br i1 %c, label %a, label %b
a:
  call void @llvm.var.annotation.p0.p0(ptr null, ptr @__bpfcov_marker, ptr null, i32 0, ptr %w) nomerge
  br label %join
b:
  call void @llvm.var.annotation.p0.p0(ptr null, ptr @__bpfcov_marker, ptr null, i32 0, ptr %v) nomerge
  br label %join
join:
  ret void
}

; CHECK-LABEL: define void @light
; CHECK: call void @llvm.sideeffect() #[[A:[0-9]+]]
; CHECK: call void @llvm.sideeffect() #[[B:[0-9]+]]
define void @light(i1 %c) {
  br i1 %c, label %a, label %b
a:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  br label %join
b:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="2"
  br label %join
join:
  ret void
}

; CHECK-DAG: attributes #[[A]] = { nomerge "bpfcov-counter"="1" }
; CHECK-DAG: attributes #[[B]] = { nomerge "bpfcov-counter"="2" }

declare void @llvm.sideeffect()
declare void @llvm.var.annotation.p0.p0(ptr, ptr, ptr, i32, ptr)

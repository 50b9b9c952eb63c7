; Markers become updates of one array in .data.bpfcov, and no trace of markers is left.
;
; REQUIRES: llvm-16-or-newer
; RUN: %opt -passes=bpfcov-lower,verify -S %s | FileCheck %s

target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "bpf"

; The mapping, as sections without flags.
; CHECK: module asm {{.*}}.pushsection __llvm_covmap,\22\22,@progbits
; CHECK: module asm {{.*}}.ascii \22cm\22
; CHECK: module asm {{.*}}.pushsection __llvm_covfun
; CHECK: module asm {{.*}}.ascii \22cf\22
; CHECK: module asm {{.*}}.pushsection __llvm_prf_names
; CHECK: module asm {{.*}}.ascii \22nn\22
; CHECK: module asm {{.*}}.pushsection __bpfcov_fun
; CHECK: module asm {{.*}}.ascii \22BPFCOVF

; 40 bytes of header: magic, version 1, width 8, 4 counters, object id, size 72, 0.
; CHECK: @__bpfcov_counters = internal global <{ [40 x i8], [4 x i64] }> <{ [40 x i8] c"BPFCOV\1A\01\01\00\08\00\04\00\00\00{{.*}}H\00\00\00\00\00\00\00", [4 x i64] zeroinitializer }>, section ".data.bpfcov", align 8
; CHECK: @llvm.compiler.used = appending global [1 x ptr] [ptr @__bpfcov_counters]
; CHECK-NOT: __bpfcov_marker
@__bpfcov_marker = private constant i8 0

; CHECK-LABEL: define void @f
define void @f(i1 %c, i64 %n) {
; The address and the 1 come from assembly, which code generation cannot hoist, and so does the update,
; which it cannot merge with another one.
; CHECK-NEXT: %[[BASE:.*]] = call ptr asm sideeffect "$0 = $1 ll", "=r,i"(ptr @__bpfcov_counters)
; CHECK-NEXT: %[[ONE:.*]] = call i64 asm sideeffect "$0 = $1", "=r,i"(i64 1)
; CHECK-NEXT: call void asm sideeffect "lock *(u64 *)($0 + $2) += $1", "r,r,i"(ptr %[[BASE]], i64 %[[ONE]], i64 40)
  call void @llvm.var.annotation.p0.p0(ptr null, ptr @__bpfcov_marker, ptr null, i32 1, ptr null) nomerge
; A conditional step becomes a branch, so that the verifier can remove it. The registers are still there.
; CHECK: br i1 %c, label %[[THEN:.*]], label %[[CONT:.*]]
; CHECK: [[THEN]]:
; CHECK-NEXT: call void asm sideeffect "lock {{.*}}(ptr %[[BASE]], i64 %[[ONE]], i64 48)
; CHECK-NEXT: br label %[[CONT]]
; CHECK: [[CONT]]:
  %s = zext i1 %c to i32
  call void @llvm.var.annotation.p0.p0(ptr inttoptr (i64 1 to ptr), ptr @__bpfcov_marker, ptr null, i32 %s, ptr null) nomerge
; CHECK: %[[W:.*]] = ptrtoint ptr %w to i64
; CHECK: call void asm sideeffect "lock {{.*}}(ptr %[[BASE]], i64 %[[W]], i64 56)
  %w = inttoptr i64 %n to ptr
  call void @llvm.var.annotation.p0.p0(ptr inttoptr (i64 2 to ptr), ptr @__bpfcov_marker, ptr null, i32 0, ptr %w) nomerge
; Updates by other numbers than 1 are not grouped.
; CHECK: call void asm sideeffect "lock {{.*}}(ptr %[[BASE]], i64 4294967295, i64 64)
; CHECK-NEXT: call void asm sideeffect "lock {{.*}}(ptr %[[BASE]], i64 3, i64 64)
  call void @llvm.var.annotation.p0.p0(ptr inttoptr (i64 3 to ptr), ptr @__bpfcov_marker, ptr null, i32 -1, ptr null) nomerge
  call void @llvm.var.annotation.p0.p0(ptr inttoptr (i64 3 to ptr), ptr @__bpfcov_marker, ptr null, i32 3, ptr null) nomerge
; A step that is known to be 0 is no update.
; CHECK-NEXT: ret void
  call void @llvm.var.annotation.p0.p0(ptr inttoptr (i64 3 to ptr), ptr @__bpfcov_marker, ptr null, i32 0, ptr null) nomerge
  ret void
}

; What the condition selects comes from the branch, too: a second comparison is one that old verifiers do not
; connect with the first, and they walk ways that cannot be.
; CHECK-LABEL: define i64 @select
; CHECK: br i1 %c, label %[[THEN:.*]], label %[[CONT:.*]]
; CHECK: [[CONT]]:
; CHECK: %[[PHI:.*]] = phi i64 [ %n, %[[THEN]] ], [ 7, %0 ]
; CHECK-NOT: select
; CHECK: add i64 %[[PHI]], 1
define i64 @select(i1 %c, i64 %n) {
  %s = zext i1 %c to i32
  call void @llvm.var.annotation.p0.p0(ptr null, ptr @__bpfcov_marker, ptr null, i32 %s, ptr null) nomerge
  %v = select i1 %c, i64 %n, i64 7
  %w = add i64 %v, 1
  ret i64 %w
}

; The optimiser turned "zext i1" round.
; CHECK-LABEL: define void @negated
; CHECK: xor i1 %c, true
; CHECK: br i1
define void @negated(i1 %c) {
  %s = select i1 %c, i32 0, i32 1
  call void @llvm.var.annotation.p0.p0(ptr null, ptr @__bpfcov_marker, ptr null, i32 %s, ptr null) nomerge
  ret void
}

; Not over a call, where the program's values need the registers that survive it, and not where only one
; way leads by.
; CHECK-LABEL: define i64 @call
; CHECK: asm sideeffect "$0 = $1 ll"
; CHECK: call void @other
; CHECK: asm sideeffect "$0 = $1 ll"
; CHECK: [[THEN:then]]:
; CHECK: call void @other
; CHECK: join:
; CHECK: asm sideeffect "$0 = $1 ll"
define i64 @call(i1 %c, i64 %x, i64 %y, i64 %z) {
  call void @llvm.var.annotation.p0.p0(ptr null, ptr @__bpfcov_marker, ptr null, i32 1, ptr null) nomerge
  call void @other(i1 %c, i64 0)
  call void @llvm.var.annotation.p0.p0(ptr null, ptr @__bpfcov_marker, ptr null, i32 1, ptr null) nomerge
  br i1 %c, label %then, label %join
then:
  call void @other(i1 %c, i64 0)
  br label %join
join:
  call void @llvm.var.annotation.p0.p0(ptr null, ptr @__bpfcov_marker, ptr null, i32 1, ptr null) nomerge
  %s = add i64 %x, %y
  %t = add i64 %s, %z
  ret i64 %t
}

; One register is left: the address stays in it.
; CHECK-LABEL: define i64 @spare_for_address
; CHECK: %[[B:.*]] = call ptr asm sideeffect "$0 = $1 ll"
; CHECK: %[[O:.*]] = call i64 asm sideeffect "$0 = $1"
; CHECK: call void @other
; CHECK-NOT: asm sideeffect "$0 = $1 ll"
; CHECK: %[[P:.*]] = call i64 asm sideeffect "$0 = $1"
; CHECK-NEXT: call void asm sideeffect "lock {{.*}}(ptr %[[B]], i64 %[[P]], i64 48)
define i64 @spare_for_address(i64 %x, i64 %y, i64 %z) {
  call void @llvm.var.annotation.p0.p0(ptr null, ptr @__bpfcov_marker, ptr null, i32 1, ptr null) nomerge
  call void @other(i1 true, i64 0)
  call void @llvm.var.annotation.p0.p0(ptr inttoptr (i64 1 to ptr), ptr @__bpfcov_marker, ptr null, i32 1, ptr null) nomerge
  %s = add i64 %x, %y
  %t = add i64 %s, %z
  ret i64 %t
}

; CHECK-LABEL: define void @light
; CHECK: asm sideeffect "lock {{.*}}, i64 48)
; A sideeffect of the user's own is not ours.
; CHECK-NEXT: call void @llvm.sideeffect()
; CHECK-NEXT: ret void
define void @light() {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  call void @llvm.sideeffect()
  ret void
}
declare void @llvm.sideeffect()

; Two registers are left over the call: one load for the whole function, in front of everything.
; CHECK-LABEL: define i64 @spare(
; CHECK-NEXT: %[[B:.*]] = call ptr asm sideeffect "$0 = $1 ll"
; CHECK-NEXT: %[[O:.*]] = call i64 asm sideeffect "$0 = $1"
; CHECK-NEXT: br i1
; CHECK: call void asm sideeffect "lock {{.*}}(ptr %[[B]], i64 %[[O]], i64 40)
; CHECK: call void @other
; CHECK-NOT: asm sideeffect "$0 =
; CHECK: call void asm sideeffect "lock {{.*}}(ptr %[[B]], i64 %[[O]], i64 48)
; CHECK: call void asm sideeffect "lock {{.*}}(ptr %[[B]], i64 %[[O]], i64 56)
define i64 @spare(i1 %c, i64 %x, i64 %y) {
  br i1 %c, label %then, label %else
then:
  call void @llvm.var.annotation.p0.p0(ptr null, ptr @__bpfcov_marker, ptr null, i32 1, ptr null) nomerge
  call void @other(i1 true, i64 0)
  call void @llvm.var.annotation.p0.p0(ptr inttoptr (i64 1 to ptr), ptr @__bpfcov_marker, ptr null, i32 1, ptr null) nomerge
  ret i64 %x
else:
  call void @llvm.var.annotation.p0.p0(ptr inttoptr (i64 2 to ptr), ptr @__bpfcov_marker, ptr null, i32 1, ptr null) nomerge
  ret i64 %y
}

; A parameter that the callee ignores is passed as nothing, and the update may not take its register.
; CHECK-LABEL: define void @ignored
; CHECK: call void @g(ptr %ctx, i64 undef)
; CHECK: call void @g(ptr undef, i64 1)
define void @ignored(ptr %ctx) {
  call void @llvm.var.annotation.p0.p0(ptr null, ptr @__bpfcov_marker, ptr null, i32 1, ptr null) nomerge
  call void @g(ptr undef, i64 undef)
  call void @g(ptr undef, i64 1)
  ret void
}
declare void @g(ptr, i64)
declare void @other(i1, i64)

; Annotations of the user's own are not ours.
; CHECK-LABEL: define void @foreign
; CHECK-NEXT: call void @llvm.var.annotation
define void @foreign() {
  call void @llvm.var.annotation.p0.p0(ptr null, ptr null, ptr null, i32 0, ptr null)
  ret void
}

; CHECK-NOT: bpfcov.coverage
!bpfcov.coverage = !{!0, !1}
!0 = !{!"cm", !"cf", !"nn"}
!1 = !{i64 1, i64 2, i64 0, i64 4, i64 0}

declare void @llvm.var.annotation.p0.p0(ptr, ptr, ptr, i32, ptr)

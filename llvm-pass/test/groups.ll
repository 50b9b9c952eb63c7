; Updates that always happen together are one, of a counter that stands for all of them.
;
; REQUIRES: llvm-16-or-newer
; RUN: %opt -passes=bpfcov-lower,verify -S %s | FileCheck %s

target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "bpf"

; 35 bytes: five groups, each of updates by 1; 0, and 1 twice; 0, 1 and 3; 0, 2 and 3; 0 and 2; 1 and 2.
; CHECK: module asm {{.*}}.pushsection __bpfcov_fun
; CHECK: \\043\\000\\000\\000\\005\\001\\002\\000\\001\\001\\002\\001\\003\\000\\001\\001\\001\\003\\001\\001\\003

; 4 counters of the function and 5 of groups.
; CHECK: @__bpfcov_counters = internal global <{ [40 x i8], [9 x i64] }>

; 4: 0, and 1 twice.
; CHECK-LABEL: define void @same
; CHECK: "lock {{.*}}, i64 72)
; CHECK-NEXT: ret void
define void @same() {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  ret void
}

; What comes before two branches, and what comes after, is counted in both: 5 is 0, 1 and 3, 6 is 0, 2 and 3.
; CHECK-LABEL: define void @branches
; CHECK: then:
; CHECK: "lock {{.*}}, i64 80)
; CHECK: else:
; CHECK: "lock {{.*}}, i64 88)
; CHECK: join:
; CHECK-NOT: "lock
; CHECK: ret void
define void @branches(i1 %c) {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  br i1 %c, label %then, label %else
then:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  br label %join
else:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="2"
  br label %join
join:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="3"
  ret void
}

; A branch without a counter: there is no other place for 0.
; CHECK-LABEL: define void @one
; CHECK: "lock {{.*}}, i64 40)
; CHECK: then:
; CHECK: "lock {{.*}}, i64 48)
define void @one(i1 %c) {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  br i1 %c, label %then, label %join
then:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  br label %join
join:
  ret void
}

; Past a loop: 7 is 0 and 2.
; CHECK-LABEL: define void @loop
; CHECK: "lock {{.*}}, i64 96)
; CHECK: body:
; CHECK: "lock {{.*}}, i64 48)
; CHECK: done:
; CHECK-NEXT: ret void
define void @loop(i64 %n) {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  br label %body
body:
  %i = phi i64 [ 0, %0 ], [ %j, %body ]
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  %j = add i64 %i, 1
  %c = icmp eq i64 %j, %n
  br i1 %c, label %done, label %body
done:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="2"
  ret void
}

; The first round of a loop is not every round.
; CHECK-LABEL: define void @entry_and_body
; CHECK: "lock {{.*}}, i64 40)
; CHECK: "lock {{.*}}, i64 48)
define void @entry_and_body(i64 %n) {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  br label %body
body:
  %i = phi i64 [ 0, %0 ], [ %j, %body ]
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  %j = add i64 %i, 1
  %c = icmp eq i64 %j, %n
  br i1 %c, label %done, label %body
done:
  ret void
}

; What may end the program keeps them apart: bpf_tail_call, and not other helpers.
; CHECK-LABEL: define void @tail_call
; CHECK: "lock {{.*}}, i64 40)
; CHECK: "lock {{.*}}, i64 48)
define void @tail_call() {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  call i64 inttoptr (i64 12 to ptr)(ptr null, ptr null, i64 0)
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  ret void
}

; CHECK-LABEL: define void @helper
; CHECK-COUNT-1: "lock {{.*}}, i64 72)
; CHECK: ret void
define void @helper() {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  call i64 inttoptr (i64 14 to ptr)()
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  ret void
}

; A function of the kernel comes back, one of another object may not.
; CHECK-LABEL: define void @kernel_function
; CHECK: "lock {{.*}}, i64 96)
; CHECK: ret void
define void @kernel_function() {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  call void @kfunc()
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="2"
  ret void
}

; CHECK-LABEL: define void @other_object
; CHECK: "lock {{.*}}, i64 40)
; CHECK: "lock {{.*}}, i64 56)
define void @other_object() {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  call void @elsewhere()
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="2"
  ret void
}

; CHECK-LABEL: define void @assembly
; CHECK: "lock {{.*}}, i64 40)
; CHECK: "lock {{.*}}, i64 56)
define void @assembly() {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  call void asm sideeffect "if r0 == 0 goto +1; exit", ""()
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="2"
  ret void
}

; One of two ways to a counter counts before: it counts for both, and goes on behind the other.
; CHECK-LABEL: define void @past
; CHECK: then:
; CHECK: "lock {{.*}}, i64 104)
; CHECK-NEXT: br label %[[BEHIND:.*]]
; CHECK: common:
; CHECK: "lock {{.*}}, i64 56)
; CHECK-NEXT: br label %[[BEHIND]]
define void @past(i1 %c, i1 %d, ptr %p) {
  br i1 %c, label %then, label %test
then:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  br label %common
test:
  br i1 %d, label %common, label %end
common:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="2"
  store i1 %d, ptr %p
  br label %end
end:
  ret void
}

declare void @kfunc() section ".ksyms"
declare void @elsewhere()
declare void @llvm.sideeffect()

!bpfcov.coverage = !{!0, !1}
!0 = !{!"cm", !"cf", !"nn"}
!1 = !{i64 1, i64 2, i64 0, i64 4, i64 0}

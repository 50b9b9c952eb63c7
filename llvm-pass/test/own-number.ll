; The number that an update adds is a constant that the program needs in a register anyway.
;
; REQUIRES: llvm-16-or-newer
; RUN: %opt -passes=bpfcov-lower,verify -S %s | FileCheck %s
; RUN: %opt -passes=bpfcov-lower,verify -bpfcov-group=false -S %s | FileCheck --check-prefix=ALONE %s

target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "bpf"

; Six groups: counter 0 by 2, 8, 3 and 9, and counter 1 by 9 and 2.
; CHECK: module asm {{.*}}.pushsection __bpfcov_fun
; CHECK: \\031\\000\\000\\000\\006\\002\\001\\000\\001\\010\\001\\000\\001\\003\\001\\000\\001\\011\\001\\000\\001\\011\\001\\001\\001\\002\\001\\001\\001

; CHECK-LABEL: define i32 @returns_one
; CHECK: %[[N:.*]] = call i64 asm sideeffect "$0 = $1", "=r,i"(i64 1)
; CHECK-NEXT: call void asm sideeffect "lock {{.*}}, i64 %[[N]], i64 40)
; CHECK-NEXT: %[[T:.*]] = trunc i64 %[[N]] to i32
; CHECK-NEXT: ret i32 %[[T]]
define i32 @returns_one() {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  ret i32 1
}

; Another number than 1 takes a group, which says so.
; CHECK-LABEL: define i32 @returns_two
; CHECK: %[[N:.*]] = call i64 asm sideeffect "$0 = $1", "=r,i"(i64 2)
; CHECK-NEXT: call void asm sideeffect "lock {{.*}}, i64 %[[N]], i64 56)
; ALONE-LABEL: define i32 @returns_two
; ALONE: "$0 = $1", "=r,i"(i64 1)
; ALONE-NEXT: "lock {{.*}}, i64 40)
; ALONE-NEXT: ret i32 2
define i32 @returns_two() {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  ret i32 2
}

; The update moves to the call.
; CHECK-LABEL: define void @argument
; CHECK: store
; CHECK: %[[N:.*]] = call i64 asm sideeffect "$0 = $1", "=r,i"(i64 8)
; CHECK-NEXT: call void asm sideeffect "lock {{.*}}, i64 %[[N]], i64 64)
; CHECK: call i64 inttoptr (i64 4 to ptr)(ptr %p, i64 %[[N]])
define void @argument(ptr %p) {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  store i64 0, ptr %p
  call i64 inttoptr (i64 4 to ptr)(ptr %p, i64 8)
  ret void
}

; What is handed over by the phi of another block, here to one value of two.
; CHECK-LABEL: define void @phi
; CHECK: then:
; CHECK: %[[N:.*]] = call i64 asm sideeffect "$0 = $1", "=r,i"(i64 3)
; CHECK: join:
; CHECK-NEXT: phi i64 [ %[[N]], %then ], [ 5, %0 ]
define void @phi(i1 %c, ptr %p) {
  br i1 %c, label %then, label %join
then:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  br label %join
join:
  %v = phi i64 [ 3, %then ], [ 5, %0 ]
  store i64 %v, ptr %p
  ret void
}

; Two edges from one block have one value.
; CHECK-LABEL: define i32 @edges
; CHECK: %[[N:.*]] = call i64 asm sideeffect "$0 = $1", "=r,i"(i64 3)
; CHECK: %[[T:.*]] = trunc i64 %[[N]] to i32
; CHECK-NEXT: switch
; CHECK: phi i32 [ %[[T]], %0 ], [ %[[T]], %0 ], [ 5, %other ]
define i32 @edges(i32 %c, ptr %p) {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  switch i32 %c, label %other [ i32 7, label %join
                                i32 9, label %join ]
other:
  store i64 0, ptr %p
  br label %join
join:
  %v = phi i32 [ 3, %0 ], [ 3, %0 ], [ 5, %other ]
  %w = add i32 %v, %c
  ret i32 %w
}

; Not what the back end has to extend, nor what comes after something that may end the program.
; CHECK-LABEL: define void @extended
; CHECK: "$0 = $1", "=r,i"(i64 1)
; CHECK-NEXT: "lock {{.*}}, i64 40)
; CHECK-NEXT: call void @takes(i32 signext 7)
define void @extended(ptr %p) {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  call void @takes(i32 signext 7)
  store i64 7, ptr %p
  ret void
}

; A negative number, and one too large, is none.
; CHECK-LABEL: define i64 @negative
; CHECK: "$0 = $1", "=r,i"(i64 1)
define i64 @negative(ptr %p) {
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  store i64 65536, ptr %p
  ret i64 -1
}

; Two ways that both need the address and the number have them from where they part, and the number is one of theirs; a block that
; only returns does so at once.
; CHECK-LABEL: define i64 @parts
; CHECK: %[[B:.*]] = call ptr asm sideeffect "$0 = $1 ll"
; CHECK-NEXT: %[[N:.*]] = call i64 asm sideeffect "$0 = $1", "=r,i"(i64 9)
; CHECK-NEXT: br i1
; CHECK: then:
; CHECK-NEXT: "lock {{.*}}(ptr %[[B]], i64 %[[N]],
; CHECK-NEXT: ret i64 %[[N]]
; CHECK: else:
; CHECK-NEXT: "lock {{.*}}(ptr %[[B]], i64 %[[N]],
; CHECK-NEXT: call void @takes
define i64 @parts(i1 %c, i64 %a, i64 %b, i64 %d, i64 %e) {
  call void @takes(i32 0)
  br i1 %c, label %then, label %else
then:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  br label %done
else:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  call void @takes(i32 0)
  %s = add i64 %a, %b
  %t = add i64 %d, %e
  %u = add i64 %s, %t
  br label %done
done:
  %v = phi i64 [ 9, %then ], [ %u, %else ]
  ret i64 %v
}

; What most return is the number of all; where that is 0, it is loaded once, and the number is 1.
; CHECK-LABEL: define i32 @mostly_two
; CHECK: %[[N:.*]] = call i64 asm sideeffect "$0 = $1", "=r,i"(i64 2)
; CHECK-COUNT-3: asm sideeffect "lock {{.*}}, i64 %[[N]],
; CHECK-LABEL: define i32 @mostly_zero
; CHECK: %[[N:.*]] = call i64 asm sideeffect "$0 = $1", "=r,i"(i64 1)
; CHECK-NEXT: %[[Z:.*]] = call i64 asm sideeffect "$0 = $1", "=r,i"(i64 0)
; CHECK: "lock {{.*}}, i64 %[[N]],
; CHECK-NEXT: %[[T:.*]] = trunc i64 %[[Z]] to i32
; CHECK-NEXT: ret i32 %[[T]]
define i32 @mostly_two(i32 %c) {
  switch i32 %c, label %other [ i32 7, label %one
                                i32 9, label %two ]
one:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  ret i32 2
two:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  ret i32 2
other:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  ret i32 3
}
define i32 @mostly_zero(i32 %c) {
  switch i32 %c, label %other [ i32 7, label %one
                                i32 9, label %two ]
one:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  ret i32 0
two:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  ret i32 0
other:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  ret i32 %c
}

; The result of a call is in the register of returns: two that return the same do not take it away.
; CHECK-LABEL: define i64 @result
; CHECK: "$0 = $1", "=r,i"(i64 1)
; CHECK: ret i64 5
; CHECK: ret i64 5
define i64 @result(ptr %p) {
  %r = call i64 inttoptr (i64 4 to ptr)(ptr %p, i64 8)
  switch i64 %r, label %other [ i64 7, label %one
                                i64 9, label %two ]
one:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  ret i64 5
two:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="1"
  ret i64 5
other:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  ret i64 %r
}

; A lookup that found nothing left a 0 there. Other helpers may return what a verifier does not take for a number.
; CHECK-LABEL: define i64 @nothing
; CHECK: %[[F:.*]] = call ptr inttoptr (i64 1 to ptr)
; CHECK: %[[R:.*]] = ptrtoint ptr %[[F]] to i64
; CHECK-NEXT: ret i64 %[[R]]
; CHECK-LABEL: define i64 @something
; CHECK-NOT: ptrtoint
define i64 @nothing(ptr %p) {
  %f = call ptr inttoptr (i64 1 to ptr)(ptr %p, ptr %p)
  %c = icmp eq ptr %f, null
  br i1 %c, label %null, label %found
null:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  ret i64 0
found:
  %v = load i64, ptr %f
  ret i64 %v
}
define i64 @something(ptr %p) {
  %f = call ptr inttoptr (i64 158 to ptr)()
  %c = icmp eq ptr %f, null
  br i1 %c, label %null, label %found
null:
  call void @llvm.sideeffect() nomerge "bpfcov-counter"="0"
  ret i64 0
found:
  ret i64 3
}

declare void @takes(i32)
declare void @llvm.sideeffect()

!bpfcov.coverage = !{!0, !1}
!0 = !{!"cm", !"cf", !"nn"}
!1 = !{i64 1, i64 2, i64 0, i64 2, i64 0}

//===- Marker.h - A counter update that costs the optimiser nothing ---------===//
//
// A marker stands for "add STEP to counter INDEX" from the start of the pipeline to its end. There are
// two kinds. The light one is for a step of 1, which nearly all are:
//
//   call void @llvm.sideeffect() nomerge "bpfcov-counter"="INDEX"
//
// and the other one for any step:
//
//   call void @llvm.var.annotation(ptr inttoptr (i64 INDEX to ptr), ptr @__bpfcov_marker,
//                                  ptr null, i32 STEP, ptr WIDE) nomerge
//
// Why these intrinsics: they are "assume-like", so the inliner and the unroller charge nothing for
// them, but they write inaccessible memory, so no pass may delete, speculate or reorder them against
// control flow. Why the light one: EarlyCSE looks through it. At the other one it forgets what it has
// loaded; the second load of a value then stays, and InstCombine may make one load of it and of a
// field of the context in a sibling block, which the verifier refuses ("same insn cannot be used with
// different pointers"). Why nomerge: SimplifyCFG would otherwise sink two markers of sibling blocks
// into one whose index is a phi.
//
// STEP is an unsigned number, clang's only variable step being zext i1. A step that does not fit
// travels in WIDE as inttoptr, and STEP is 0 then.
//
//===----------------------------------------------------------------------===//

#ifndef BPFCOV_MARKER_H
#define BPFCOV_MARKER_H

#include "llvm/IR/Instructions.h"
#include "llvm/IR/Module.h"

namespace bpfcov {

constexpr char MarkerName[] = "__bpfcov_marker";

/// Inserts a marker before Before, with its debug location: a light one if Step, an i64, is 1.
void insertMarker(llvm::Instruction *Before, uint32_t Index, llvm::Value *Step);

/// Inserts a weightless marker before Before: llvm.pseudoprobe, which the optimiser deletes where
/// it merges the block with another one.
void insertProbe(llvm::Instruction *Before, uint32_t Index);

/// Turns the weightless markers that are left in F into ordinary ones.
void hardenProbes(llvm::Function &F);

/// Returns the global that the markers of M that are not light refer to, or null when there are none.
llvm::GlobalVariable *markerGlobal(llvm::Module &M);

/// The counter of a light marker, -1 for any other call.
int64_t lightMarker(const llvm::CallInst &Call);

/// Returns I as a call when it is a marker. Marker is what markerGlobal returns.
llvm::CallInst *asMarker(llvm::Instruction &I, const llvm::GlobalVariable *Marker);

/// The operands of a marker that is not light, casts removed: the index (a pointer), the i32 step, and the wide
/// step or null.
llvm::Value *markerIndex(const llvm::CallInst &Marker);
llvm::Value *markerStep(const llvm::CallInst &Marker);
llvm::Value *markerWideStep(const llvm::CallInst &Marker);

} // namespace bpfcov

#endif // BPFCOV_MARKER_H

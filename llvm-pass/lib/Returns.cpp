//===- Returns.cpp ----------------------------------------------------------===//

#include "bpfcov/Returns.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/Transforms/Utils/BasicBlockUtils.h"

using namespace llvm;

namespace bpfcov {

namespace {
/// The return of a block that does nothing else, besides choosing what to return by the way that led to it.
ReturnInst *onlyReturn(BasicBlock &BB) {
  for (Instruction &I : BB)
    if (!isa<PHINode>(I) && !isa<DbgInfoIntrinsic>(I) && !I.isLifetimeStartOrEnd())
      return dyn_cast<ReturnInst>(&I);
  return nullptr;
}
} // namespace

void returnAtOnce(const UpdatePlan &Plan) {
  SmallSetVector<BasicBlock *, 32> Blocks;
  for (const auto &Entry : Plan)
    Blocks.insert(Entry.first->getParent());
  for (BasicBlock *BB : Blocks) {
    auto *Branch = dyn_cast<BranchInst>(BB->getTerminator());
    if (!Branch || !Branch->isUnconditional())
      continue;
    BasicBlock *Exit = Branch->getSuccessor(0);
    ReturnInst *Return = Exit == BB ? nullptr : onlyReturn(*Exit);
    if (!Return || Exit->getSinglePredecessor())
      continue;
    // Where all return the same, the verifier compares states at the common return, and needs to walk it once only.
    auto *Phi = dyn_cast_or_null<PHINode>(Return->getReturnValue());
    if (!Phi || Phi->getParent() != Exit)
      continue;
    FoldReturnIntoUncondBranch(Return, Exit, BB);
    if (pred_empty(Exit))
      DeleteDeadBlock(Exit);
  }
}

} // namespace bpfcov

//===- Returns.cpp ----------------------------------------------------------===//

#include "bpfcov/Returns.h"
#include "bpfcov/Calls.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/PatternMatch.h"
#include "llvm/Transforms/Utils/BasicBlockUtils.h"

using namespace llvm;
using namespace llvm::PatternMatch;

namespace bpfcov {

namespace {
/// The return of a block that does nothing else, besides choosing what to return by the way that led to it.
ReturnInst *onlyReturn(BasicBlock &BB) {
  for (Instruction &I : BB)
    if (!isa<PHINode>(I) && !isa<DbgInfoIntrinsic>(I) && !I.isLifetimeStartOrEnd())
      return dyn_cast<ReturnInst>(&I);
  return nullptr;
}

/// The helpers that return a pointer to what they found, or null, which a verifier takes for the number 0 from then on (enum
/// bpf_func_id of include/uapi/linux/bpf.h, RET_PTR_TO_..._OR_NULL).
bool returnsNullOrPointer(const CallBase &Call) {
  switch (helperNumber(Call)) {
  case 1:   // map_lookup_elem
  case 84:  // sk_lookup_tcp
  case 85:  // sk_lookup_udp
  case 99:  // skc_lookup_tcp
  case 107: // sk_storage_get
  case 131: // ringbuf_reserve
    return true;
  default:
    return false;
  }
}

/// "if (!found) return 0;": what is returned is in the register of returns already.
void returnNull(BasicBlock &BB) {
  auto *Return = dyn_cast<ReturnInst>(BB.getTerminator());
  auto *Zero = Return ? dyn_cast_or_null<ConstantInt>(Return->getReturnValue()) : nullptr;
  BasicBlock *Pred = BB.getSinglePredecessor();
  auto *Branch = Pred ? dyn_cast<BranchInst>(Pred->getTerminator()) : nullptr;
  if (!Zero || !Zero->isZero() || Zero->getBitWidth() > 64 || !Branch || !Branch->isConditional() ||
      Branch->getSuccessor(0) == Branch->getSuccessor(1) || any_of(BB, isRealCall))
    return;
  auto *Compare = dyn_cast<ICmpInst>(Branch->getCondition());
  if (!Compare || !match(Compare->getOperand(1), m_Zero()) ||
      Compare->getPredicate() !=
          (Branch->getSuccessor(0) == &BB ? ICmpInst::ICMP_EQ : ICmpInst::ICMP_NE))
    return;
  auto *Call = dyn_cast<CallBase>(Compare->getOperand(0));
  if (!Call || Call->getParent() != Pred || !Call->getType()->isPointerTy() ||
      !returnsNullOrPointer(*Call))
    return;
  for (Instruction *I = Call->getNextNode(); I; I = I->getNextNode())
    if (isRealCall(*I))
      return;
  IRBuilder<> B(Return);
  Return->setOperand(0, B.CreatePtrToInt(Call, Zero->getType()));
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
    FoldReturnIntoUncondBranch(Return, Exit, BB);
    if (pred_empty(Exit))
      DeleteDeadBlock(Exit);
  }
  for (BasicBlock *BB : Blocks)
    returnNull(*BB);
}

} // namespace bpfcov

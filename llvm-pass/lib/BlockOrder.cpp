//===- BlockOrder.cpp -------------------------------------------------------===//

#include "bpfcov/BlockOrder.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/IR/CFG.h"
#include "llvm/IR/Instructions.h"
#include <vector>

using namespace llvm;

namespace bpfcov {

void orderBlocks(Function &F) {
  std::vector<BasicBlock *> Before;
  DenseMap<const BasicBlock *, unsigned> Waiting; // for so many predecessors
  for (BasicBlock &BB : F) {
    Before.push_back(&BB);
    Waiting[&BB] = std::distance(pred_begin(&BB), pred_end(&BB));
  }
  // Of two that return, the first can go on in the second.
  auto Better = [&](const BasicBlock *A, const BasicBlock *B) {
    if (!Waiting[A] != !Waiting[B])
      return !Waiting[A];
    return isa<ReturnInst>(A->getTerminator()) && isa<ReturnInst>(B->getTerminator()) &&
           A->sizeWithoutDebug() > B->sizeWithoutDebug();
  };
  SmallSetVector<BasicBlock *, 32> After;
  for (size_t First = 0; First < Before.size(); ++First) {
    BasicBlock *BB = Before[First];
    while (BB && After.insert(BB)) {
      BasicBlock *Next = nullptr;
      for (BasicBlock *To : successors(BB))
        --Waiting[To];
      for (BasicBlock *To : successors(BB))
        if (!After.count(To) && (!Next || Better(To, Next)))
          Next = To;
      BB = Next;
    }
  }
  for (size_t I = 1; I < After.size(); ++I)
    After[I]->moveAfter(After[I - 1]);
}

} // namespace bpfcov

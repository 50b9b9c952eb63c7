//===- Pressure.cpp ---------------------------------------------------------===//

#include "bpfcov/Pressure.h"
#include "bpfcov/Calls.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/PostOrderIterator.h"
#include "llvm/IR/CFG.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include <algorithm>

using namespace llvm;

namespace bpfcov {

namespace {
/// Registers that survive calls, r6 to r9, and all that a program has for its values (RFC 9669, section 2).
constexpr unsigned SavedRegisters = 4;
constexpr unsigned AllRegisters = 10;

/// A function with more values than this is taken as full.
constexpr unsigned MaxValues = 8192;

/// What a register is needed for. Constants and addresses of the frame are made where they are used, a
/// comparison is mostly part of its branch.
bool needsRegister(const Value *V) {
  if (isa<Argument>(V))
    return !V->use_empty();
  auto *I = dyn_cast<Instruction>(V);
  if (!I || I->getType()->isVoidTy() || isa<AllocaInst>(I) || I->use_empty())
    return false;
  if (isa<CmpInst>(I) && I->hasOneUse() && isa<BranchInst>(I->user_back()))
    return false;
  if (auto *GEP = dyn_cast<GetElementPtrInst>(I))
    return !(GEP->hasAllConstantIndices() &&
             isa<AllocaInst>(GEP->getPointerOperand()->stripInBoundsConstantOffsets()));
  return true;
}

/// Liveness of values at the end of blocks, by the usual backward iteration.
class Pressure {
public:
  explicit Pressure(Function &F);

  bool TooBig = false;
  unsigned OverCalls = 0; ///< most values that live over one call
  unsigned Anywhere = 0;  ///< most values that live at one place

private:
  void number(Value &V) {
    if (needsRegister(&V))
      Numbers.insert({&V, Numbers.size()});
  }
  void use(BitVector &Live, const Value *V) {
    auto It = Numbers.find(V);
    if (It != Numbers.end())
      Live.set(It->second);
  }
  BitVector atEnd(BasicBlock &BB);
  /// Walks BB backward from Live, which becomes what lives at its start.
  void walk(BasicBlock &BB, BitVector &Live, bool Count);

  DenseMap<const Value *, unsigned> Numbers;
  DenseMap<const BasicBlock *, BitVector> LiveIn;
};

Pressure::Pressure(Function &F) {
  for (Argument &A : F.args())
    number(A);
  for (Instruction &I : instructions(F))
    number(I);
  if (Numbers.size() > MaxValues) {
    TooBig = true;
    return;
  }
  for (BasicBlock &BB : F)
    LiveIn[&BB].resize(Numbers.size());
  for (bool Changed = true; Changed;) {
    Changed = false;
    for (BasicBlock *BB : post_order(&F)) {
      BitVector Live = atEnd(*BB);
      walk(*BB, Live, /*Count=*/false);
      if (Live != LiveIn[BB]) {
        LiveIn[BB] = Live;
        Changed = true;
      }
    }
  }
  for (BasicBlock &BB : F) {
    BitVector Live = atEnd(BB);
    walk(BB, Live, /*Count=*/true);
  }
}

BitVector Pressure::atEnd(BasicBlock &BB) {
  BitVector Live(Numbers.size());
  for (BasicBlock *Succ : successors(&BB)) {
    Live |= LiveIn[Succ];
    for (PHINode &Phi : Succ->phis())
      use(Live, Phi.getIncomingValueForBlock(&BB));
  }
  return Live;
}

void Pressure::walk(BasicBlock &BB, BitVector &Live, bool Count) {
  for (auto It = BB.rbegin(); It != BB.rend(); ++It) {
    Instruction &I = *It;
    auto Def = Numbers.find(&I);
    if (Def != Numbers.end())
      Live.reset(Def->second);
    if (Count && isRealCall(I))
      OverCalls = std::max(OverCalls, Live.count());
    if (!isa<PHINode>(I) && !isa<DbgInfoIntrinsic>(I))
      for (Value *Op : I.operands())
        use(Live, Op);
    if (Count)
      Anywhere = std::max(Anywhere, Live.count());
  }
}

} // namespace

unsigned spareRegisters(Function &F) {
  Pressure P(F);
  if (P.TooBig || P.OverCalls >= SavedRegisters || P.Anywhere >= AllRegisters)
    return 0;
  return std::min(SavedRegisters - P.OverCalls, AllRegisters - P.Anywhere);
}

} // namespace bpfcov

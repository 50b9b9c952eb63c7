//===- Clamp.cpp ------------------------------------------------------------===//

#include "bpfcov/Clamp.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/IntrinsicInst.h"

using namespace llvm;

namespace bpfcov {

namespace {
/// The store of a constant to a local variable, if besides Counted that is all that its block does.
StoreInst *onlyStore(Instruction &Counted) {
  StoreInst *Store = nullptr;
  for (Instruction &I : *Counted.getParent()) {
    if (&I == &Counted || isa<DbgInfoIntrinsic>(I) || I.isTerminator())
      continue;
    auto *S = dyn_cast<StoreInst>(&I);
    if (!S || Store)
      return nullptr;
    Store = S;
  }
  bool Fits = Store && Store->isSimple() && isa<ConstantInt>(Store->getValueOperand()) &&
              isa<AllocaInst>(Store->getPointerOperand());
  return Fits ? Store : nullptr;
}

/// The intrinsic that sets what compares so to C to K, and changes just these.
Intrinsic::ID clampOf(CmpInst::Predicate Compared, const APInt &C, const APInt &K) {
  switch (Compared) {
  case CmpInst::ICMP_UGT:
    return K == C ? Intrinsic::umin : Intrinsic::not_intrinsic;
  case CmpInst::ICMP_SGT:
    return K == C ? Intrinsic::smin : Intrinsic::not_intrinsic;
  case CmpInst::ICMP_UGE:
    return K == C - 1 && !C.isZero() ? Intrinsic::umin : Intrinsic::not_intrinsic;
  case CmpInst::ICMP_SGE:
    return K == C - 1 && !C.isMinSignedValue() ? Intrinsic::smin : Intrinsic::not_intrinsic;
  case CmpInst::ICMP_ULT:
    return K == C ? Intrinsic::umax : Intrinsic::not_intrinsic;
  case CmpInst::ICMP_SLT:
    return K == C ? Intrinsic::smax : Intrinsic::not_intrinsic;
  case CmpInst::ICMP_ULE:
    return K == C + 1 && !C.isMaxValue() ? Intrinsic::umax : Intrinsic::not_intrinsic;
  case CmpInst::ICMP_SLE:
    return K == C + 1 && !C.isMaxSignedValue() ? Intrinsic::smax : Intrinsic::not_intrinsic;
  default:
    return Intrinsic::not_intrinsic;
  }
}

/// Whether V is what is in Variable at the end of its block.
bool isLast(const Value *V, const Value *Variable) {
  auto *Load = dyn_cast<LoadInst>(V);
  if (!Load || !Load->isSimple() || Load->getPointerOperand() != Variable)
    return false;
  for (const Instruction *I = Load->getNextNode(); I; I = I->getNextNode())
    if (I->mayWriteToMemory())
      return false;
  return true;
}

/// The intrinsic for "if (V compared as Compare says) V = Limit", V being Variable or an extension of
/// it. not_intrinsic if there is none.
Intrinsic::ID clampOf(const ICmpInst &Compare, const Value *Variable, const APInt &Limit) {
  const Value *V = Compare.getOperand(0);
  bool Zext = isa<ZExtInst>(V), Sext = isa<SExtInst>(V);
  if (Zext || Sext)
    V = cast<CastInst>(V)->getOperand(0);
  auto *Bound = dyn_cast<ConstantInt>(Compare.getOperand(1));
  if (!isLast(V, Variable) || !Bound || !V->getType()->isIntegerTy(Limit.getBitWidth()))
    return Intrinsic::not_intrinsic;
  // What was extended without a sign is compared without one, too, unless with a negative number.
  if ((Zext && Bound->isNegative()) || (Sext && Compare.isUnsigned()))
    return Intrinsic::not_intrinsic;
  CmpInst::Predicate Compared = Zext ? Compare.getUnsignedPredicate() : Compare.getPredicate();
  unsigned Width = Bound->getBitWidth();
  return clampOf(Compared, Bound->getValue(),
                 CmpInst::isSigned(Compared) ? Limit.sextOrTrunc(Width) : Limit.zextOrTrunc(Width));
}
} // namespace

Instruction *liftClamp(Instruction &Counted, Value *&Step) {
  BasicBlock *Then = Counted.getParent();
  BasicBlock *Head = Then->getSinglePredecessor();
  BasicBlock *Join = Then->getSingleSuccessor();
  StoreInst *Store = onlyStore(Counted);
  if (!Head || !Join || !Store || isa<PHINode>(Join->front()))
    return nullptr;
  auto *Branch = dyn_cast<BranchInst>(Head->getTerminator());
  if (!Branch || !Branch->isConditional() || Branch->getSuccessor(0) != Then ||
      Branch->getSuccessor(1) != Join)
    return nullptr;
  auto *Compare = dyn_cast<ICmpInst>(Branch->getCondition());
  auto *Limit = cast<ConstantInt>(Store->getValueOperand());
  Value *Variable = Store->getPointerOperand();
  if (!Compare || Compare->getParent() != Head)
    return nullptr;
  Intrinsic::ID Clamp = clampOf(*Compare, Variable, Limit->getValue());
  if (Clamp == Intrinsic::not_intrinsic)
    return nullptr;

  IRBuilder<> B(Branch);
  B.SetCurrentDebugLocation(Store->getDebugLoc());
  Value *Old = B.CreateAlignedLoad(Limit->getType(), Variable, Store->getAlign());
  Value *New = B.CreateBinaryIntrinsic(Clamp, Old, Limit);
  B.CreateAlignedStore(New, Variable, Store->getAlign());
  B.SetCurrentDebugLocation(Counted.getDebugLoc());
  Step = B.CreateZExt(Compare, B.getInt64Ty());
  Instruction *Left = B.CreateBr(Join);
  Left->setDebugLoc(Branch->getDebugLoc());
  Branch->eraseFromParent();
  return Left;
}

Value *clampChanged(Value *Cond, Instruction &Marker) {
  auto *Compare = dyn_cast<ICmpInst>(Cond);
  auto *Bound = Compare ? dyn_cast<ConstantInt>(Compare->getOperand(1)) : nullptr;
  Value *V = Compare ? Compare->getOperand(0) : nullptr;
  if (!Bound || Bound->getBitWidth() > 64 || isa<Constant>(V))
    return nullptr;
  MinMaxIntrinsic *Clamp = nullptr;
  for (User *U : V->users()) {
    auto *M = dyn_cast<MinMaxIntrinsic>(U);
    auto *Limit = M ? dyn_cast<ConstantInt>(M->getRHS()) : nullptr;
    if (!Limit || M->getLHS() != V)
      continue;
    const APInt &C = Bound->getValue(), &K = Limit->getValue();
    if (M->getIntrinsicID() == clampOf(Compare->getPredicate(), C, K))
      Clamp = M;
  }
  if (!Clamp)
    return nullptr;
  // It may be in a block before, or InstCombine may have sunk it to one behind.
  DominatorTree DT(*Marker.getFunction());
  bool Behind = DT.dominates(&Marker, Clamp);
  if (!Behind && !DT.dominates(Clamp, &Marker))
    return nullptr;

  IRBuilder<> B(Behind ? &Marker : Clamp);
  Type *Wide = B.getInt64Ty();
  bool Signed = Clamp->isSigned();
  auto Extend = [&](Value *N) { return Signed ? B.CreateSExt(N, Wide) : B.CreateZExt(N, Wide); };
  Value *Before = Extend(V);
  Value *After = B.CreateBinaryIntrinsic(Clamp->getIntrinsicID(), Before, Extend(Clamp->getRHS()));
  // Code generation must not make the first comparison of the second one again.
  After = B.CreateCall(InlineAsm::get(FunctionType::get(Wide, {Wide}, false), "", "=r,0", false),
                       {After});
  Value *Narrow = B.CreateTrunc(After, Clamp->getType());
  SmallVector<Instruction *, 4> Extended;
  for (User *U : Clamp->users())
    if (U->getType() == Wide && (Signed ? isa<SExtInst>(U) : isa<ZExtInst>(U)))
      Extended.push_back(cast<Instruction>(U));
  for (Instruction *I : Extended) {
    I->replaceAllUsesWith(After);
    I->eraseFromParent();
  }
  Clamp->replaceAllUsesWith(Narrow);
  Clamp->eraseFromParent();
  return IRBuilder<>(&Marker).CreateICmpNE(After, Before);
}

} // namespace bpfcov

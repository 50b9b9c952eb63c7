//===- UpdateEmitter.cpp ----------------------------------------------------===//

#include "bpfcov/UpdateEmitter.h"
#include "bpfcov/Calls.h"
#include "bpfcov/Compat.h"
#include "bpfcov/Layout.h"
#include "bpfcov/Pressure.h"
#include "llvm/ADT/PostOrderIterator.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/IR/CFG.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/PatternMatch.h"

using namespace llvm;
using namespace llvm::PatternMatch;

namespace bpfcov {

namespace {
/// A register is kept for the next update for so many instructions of the program's own.
constexpr unsigned MaxAge = 32;

/// The largest displacement of a memory instruction.
constexpr uint64_t MaxOffset = 32767;

/// Whether BB starts a loop without calls: what registers hold before it they hold in every round.
bool startsQuietLoop(const BasicBlock &BB, const LoopInfo &LI) {
  const Loop *L = LI.getLoopFor(&BB);
  if (!L || L->getHeader() != &BB)
    return false;
  for (const BasicBlock *Block : L->blocks())
    for (const Instruction &I : *Block)
      if (isRealCall(I))
        return false;
  return true;
}
} // namespace

void planUpdate(UpdatePlan &Plan, IRBuilder<> &B, uint32_t Index, Value *Step) {
  auto *FT = FunctionType::get(B.getVoidTy(), false);
  Instruction *I = B.CreateCall(InlineAsm::get(FT, "", "", /*hasSideEffects=*/true));
  Plan[I] = {Index, Step};
}

void UpdateEmitter::emit(UpdatePlan Updates) {
  Plan = std::move(Updates);
  SmallSetVector<Function *, 16> Functions;
  for (auto &Entry : Plan)
    Functions.insert(Entry.first->getFunction());
  for (Function *F : Functions)
    emit(*F);
  for (auto &Entry : Plan)
    Entry.first->eraseFromParent();
  Plan.clear();
}

/// The optimiser passes nothing for a parameter that the called function ignores. Then the caller's own
/// argument is still in that register, and the verifier, which checks the calls of global functions by
/// their types, is content by luck. An update would take the register for free: say what is in it.
static void keepArguments(Function &F) {
  for (Instruction &I : F.getEntryBlock()) {
    auto *CB = dyn_cast<CallBase>(&I);
    if (!CB || !isRealCall(I))
      continue;
    unsigned N = std::min<unsigned>(CB->arg_size(), F.arg_size());
    for (unsigned Arg = 0; Arg < N; ++Arg)
      if (isa<UndefValue>(CB->getArgOperand(Arg)) &&
          CB->getArgOperand(Arg)->getType() == F.getArg(Arg)->getType())
        CB->setArgOperand(Arg, F.getArg(Arg));
    return; // after a call the registers are lost
  }
}

/// Loads address and number once, before the first update of all, if F has registers for them.
bool UpdateEmitter::emitWithOneLoad(Function &F) {
  if (Baseline)
    return false;
  DominatorTree DT(F);
  SmallVector<Instruction *, 32> Places;
  BasicBlock *Home = nullptr;
  bool One = false;
  for (Instruction &I : instructions(F)) {
    auto Planned = Plan.find(&I);
    if (Planned == Plan.end() || !Planned->second.Step)
      continue;
    if (!DT.isReachableFromEntry(I.getParent()))
      return false;
    Places.push_back(&I);
    One |= needsOne(Planned->second);
    Home = Home ? DT.findNearestCommonDominator(Home, I.getParent()) : I.getParent();
  }
  if (!Home)
    return true;
  if (spareRegisters(F) < (One ? 2 : 1))
    return false;
  auto Before = find_if(*Home, [&](Instruction &I) { return Plan.count(&I) || I.isTerminator(); });
  IRBuilder<> B(&*Before);
  Registers R;
  R.Base = loadBase(B);
  if (One)
    R.One = loadOne(B);
  for (Instruction *I : Places)
    emit(I, Plan[I], R);
  return true;
}

void UpdateEmitter::emit(Function &F) {
  if (!Baseline)
    keepArguments(F);
  if (emitWithOneLoad(F))
    return;
  DenseMap<const BasicBlock *, Registers> AtEnd;
  DominatorTree DT(F);
  LoopInfo LI(DT);
  ReversePostOrderTraversal<Function *> Order(&F);
  for (BasicBlock *BB : Order) {
    Registers R;
    bool First = true;
    bool Quiet = startsQuietLoop(*BB, LI);
    for (const BasicBlock *Pred : predecessors(BB)) {
      // A predecessor that was not walked is the end of a loop: nothing is known of others.
      if (Quiet && !AtEnd.count(Pred) && LI.getLoopFor(BB)->contains(Pred))
        continue;
      Registers P = AtEnd.lookup(Pred);
      if (First)
        R = P;
      R.Base = R.Base == P.Base ? R.Base : nullptr;
      R.One = R.One == P.One ? R.One : nullptr;
      R.Age = std::max(R.Age, P.Age);
      First = false;
    }
    walk(*BB, R);
    AtEnd[BB] = R;
  }
  // Blocks that nothing leads to are not in the order; the back end drops them.
  for (BasicBlock &BB : F)
    if (!AtEnd.count(&BB)) {
      Registers R;
      walk(BB, R);
    }
}

void UpdateEmitter::walk(BasicBlock &BB, Registers &R) {
  for (auto It = BB.begin(); It != BB.end();) {
    Instruction &I = *It++;
    auto Found = Plan.find(&I);
    if (Found != Plan.end()) {
      emit(&I, Found->second, R);
      R.Age = 0;
    } else if (isRealCall(I) || (!isa<DbgInfoIntrinsic>(I) && ++R.Age > MaxAge)) {
      R = Registers();
    }
  }
}

Instruction *UpdateEmitter::load(IRBuilder<> &B, StringRef Asm, Constant *C) {
  auto *FT = FunctionType::get(C->getType(), {C->getType()}, false);
  return B.CreateCall(InlineAsm::get(FT, Asm, "=r,i", /*hasSideEffects=*/true), {C});
}

Instruction *UpdateEmitter::loadBase(IRBuilder<> &B) {
  return load(B, "$0 = $1 ll",
              ConstantExpr::getPointerBitCastOrAddrSpaceCast(Counters,
                                                             compat::pointerType(B.getContext())));
}

Instruction *UpdateEmitter::loadOne(IRBuilder<> &B) { return load(B, "$0 = 1", B.getInt64(1)); }

void UpdateEmitter::emitBaseline(IRBuilder<> &B, uint64_t Offset, Value *Step) {
  Constant *All = ConstantExpr::getPointerBitCastOrAddrSpaceCast(
      Counters, compat::pointerType(B.getContext()));
  Value *P = B.CreateInBoundsGEP(B.getInt8Ty(), All, B.getInt64(Offset));
  P = compat::typedPointer(B, P, B.getInt64Ty());
  B.CreateStore(B.CreateAdd(B.CreateLoad(B.getInt64Ty(), P), Step), P);
}

/// Whether the update takes the number 1 from a register.
bool UpdateEmitter::needsOne(const Update &U) const {
  if (Flags.test(U.Index))
    return !compat::HasStoreImmediate;
  return !U.Step || match(U.Step, m_One());
}

void UpdateEmitter::emit(Instruction *At, const Update &U, Registers &R) {
  IRBuilder<> B(At); // takes over the debug location
  const DataLayout &DL = Counters->getParent()->getDataLayout();
  uint64_t Offset = CounterHeaderSize + uint64_t(U.Index) * Width;
  bool Flag = Flags.test(U.Index);
  if (Flag && Width == 8 && DL.isBigEndian())
    Offset += 7; // the lowest byte of the number
  if (Baseline) {
    emitBaseline(B, Offset, U.Step);
    return;
  }
  if (!R.Base)
    R.Base = loadBase(B);
  bool One = needsOne(U);
  if (One && !R.One)
    R.One = loadOne(B);
  if (!U.Step)
    return;
  Value *Base = R.Base;
  if (Offset > MaxOffset) {
    Base = B.CreateInBoundsGEP(B.getInt8Ty(), Base, B.getInt64(Offset));
    Offset = 0;
  }
  if (Flag && !One) {
    auto *FT = FunctionType::get(B.getVoidTy(), {Base->getType(), B.getInt64Ty()}, false);
    B.CreateCall(InlineAsm::get(FT, "*(u8 *)($0 + $1) = 1", "r,i", /*hasSideEffects=*/true),
                 {Base, B.getInt64(Offset)});
    return;
  }
  Value *Step = One ? R.One : U.Step;
  const char *Asm = Flag ? "*(u8 *)($0 + $2) = $1" : "lock *(u64 *)($0 + $2) += $1";
  auto *FT = FunctionType::get(B.getVoidTy(), {Base->getType(), B.getInt64Ty(), B.getInt64Ty()},
                               false);
  B.CreateCall(InlineAsm::get(FT, Asm, "r,r,i", /*hasSideEffects=*/true),
               {Base, Step, B.getInt64(Offset)});
}

} // namespace bpfcov

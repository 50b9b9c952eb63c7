//===- UpdateEmitter.cpp ----------------------------------------------------===//

#include "bpfcov/UpdateEmitter.h"
#include "bpfcov/Calls.h"
#include "bpfcov/Compat.h"
#include "bpfcov/Layout.h"
#include "bpfcov/Pressure.h"
#include "llvm/ADT/PostOrderIterator.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/IR/CFG.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/PatternMatch.h"
#include <limits>

using namespace llvm;
using namespace llvm::PatternMatch;

namespace bpfcov {

namespace {
/// A register is kept for the next update for so many instructions of the program's own.
constexpr unsigned MaxAge = 32;

/// An update goes to a constant at most so many instructions behind it: equal ends of two blocks are merged only
/// where no update is between.
constexpr unsigned MaxMove = 32;

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
  Update U;
  U.Index = Index;
  U.Step = Step;
  Plan[I] = U;
}

void UpdateEmitter::place() {
  SmallSetVector<Function *, 16> Functions;
  for (auto &Entry : Plan)
    Functions.insert(Entry.first->getFunction());
  for (Function *F : Functions)
    place(*F);
}

void UpdateEmitter::emit(GlobalVariable *Into, unsigned CounterWidth) {
  Counters = Into;
  Width = CounterWidth;
  for (Instruction *I : Order)
    emit(I, Plan.find(I)->second);
  for (auto &Use : Taken)
    useRegister(Use.first, number(*Use.second));
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

RegisterLoad *UpdateEmitter::loadBefore(Instruction *At) {
  Loads.emplace_back();
  Loads.back().At = At;
  return &Loads.back();
}

/// Whether the update takes the number 1 from a register.
bool UpdateEmitter::needsOne(const Update &U) const {
  if (Flags.test(U.Index))
    return U.Step && !compat::HasStoreImmediate;
  return U.Step && match(U.Step, m_One());
}

/// A constant behind At, in its block, that can be the number of the update, which then goes there. OverCalls says that address and number
/// are to be loaded anyway, so that it may be behind calls, too.
OwnNumber UpdateEmitter::findOwn(Instruction *At, const Update &U, bool OverCalls) const {
  OwnNumber Best;
  if (TooMany || Flags.test(U.Index) || !needsOne(U))
    return Best;
  unsigned Moved = 0;
  for (Instruction *I = At->getNextNode(); I && !Plan.count(I); I = I->getNextNode()) {
    if (isa<MemTransferInst>(I) || (!isa<DbgInfoIntrinsic>(I) && ++Moved > MaxMove))
      break;
    OwnNumber Own = ownNumber(*I, AnyNumber && !U.Members.empty());
    if (Own.Number == 1)
      return Own;
    if (!Best.Number)
      Best = Own;
    if (mayLeave(*I) || (isRealCall(*I) && (!OverCalls || Best.Number)))
      break;
  }
  return Best;
}

/// Decides what is loaded once, before the first update of all, because F has registers for it: the address, and with KeepOne
/// the number.
void UpdateEmitter::keep(Function &F, bool KeepOne) {
  Kept = Registers();
  if (!Spare)
    return;
  BasicBlock *Home = nullptr;
  bool One = false;
  for (Instruction &I : instructions(F)) {
    auto Planned = Plan.find(&I);
    if (Planned == Plan.end() || !Planned->second.Step)
      continue;
    if (!DT->isReachableFromEntry(I.getParent()))
      return;
    Update &U = Planned->second;
    One |= needsOne(U) && (ShareOne || !findOwn(&I, U, /*OverCalls=*/true).Number);
    Home = Home ? DT->findNearestCommonDominator(Home, I.getParent()) : I.getParent();
  }
  if (!Home)
    return;
  Instruction *Before =
      &*find_if(*Home, [&](Instruction &I) { return Plan.count(&I) || I.isTerminator(); });
  Kept.Base = loadBefore(Before);
  if (One && KeepOne && Spare > 1)
    Kept.One = loadBefore(Before);
}

void UpdateEmitter::place(Function &F) {
  TooMany = static_cast<size_t>(count_if(instructions(F), [&](Instruction &I) {
              return Plan.count(&I);
            })) > MaxUpdates;
  DominatorTree Tree(F);
  LoopInfo Loops(Tree);
  DT = &Tree;
  LI = &Loops;
  Spare = 0;
  if (!Baseline) {
    keepArguments(F);
    Spare = spareRegisters(F);
  }
  size_t FirstLoad = Loads.size(), FirstOrder = Order.size(), FirstTaken = Taken.size();
  auto Try = [&](unsigned Way) {
    Loads.resize(FirstLoad);
    Order.resize(FirstOrder);
    Taken.resize(FirstTaken);
    Later.clear();
    for (Instruction &I : instructions(F)) {
      auto Planned = Plan.find(&I);
      if (Planned == Plan.end())
        continue;
      Update &U = Planned->second;
      U.Base = U.One = nullptr;
      U.Own = OwnNumber();
      U.Unit = 1;
    }
    return place(F, Way & 1, Way & 2);
  };
  constexpr unsigned Ways[] = {1, 0, 2, 3}; // bit 0: KeepOne, bit 1: Share; of equally good ones the first
  unsigned Best = Ways[0];
  if (!Baseline && !TooMany) {
    int Least = std::numeric_limits<int>::max();
    for (unsigned Way : Ways) {
      int Cost = Try(Way);
      if (Cost < Least) {
        Least = Cost;
        Best = Way;
      }
    }
  }
  Try(Best);
}

/// Places the updates of F: with KeepOne the number stays over calls where it can, and with Share it is loaded where branches part
/// though constants of theirs could be it. Returns how many instructions that takes for numbers, less the constants of the program that they replace.
int UpdateEmitter::place(Function &F, bool KeepOne, bool Share) {
  size_t FirstLoad = Loads.size(), FirstTaken = Taken.size();
  ShareOne = Share;
  if (!Baseline)
    keep(F, KeepOne);
  DenseMap<const BasicBlock *, Registers> AtEnd;
  ReversePostOrderTraversal<Function *> Order(&F);
  for (BasicBlock *BB : Order) {
    Registers R = Kept;
    bool First = true;
    bool Quiet = startsQuietLoop(*BB, *LI);
    for (const BasicBlock *Pred : predecessors(BB)) {
      // A predecessor that was not walked is the end of a loop: nothing is known of others.
      if (Quiet && !AtEnd.count(Pred) && LI->getLoopFor(BB)->contains(Pred))
        continue;
      Registers P = AtEnd.count(Pred) ? AtEnd.lookup(Pred) : Kept;
      P.OverCalls |= !AtEnd.count(Pred);
      if (First)
        R = P;
      R.OverCalls |= P.OverCalls;
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
  for (size_t I = FirstLoad, E = Loads.size(); I < E; ++I)
    chooseNumber(Loads[I]);
  int Cost = 0;
  // In a loop an instruction counts for four of those around it, down to the fourth.
  auto Weight = [&](const Instruction *I) {
    return 1 << (2 * std::min(LI->getLoopDepth(I->getParent()), 4u));
  };
  for (size_t I = FirstLoad; I < Loads.size(); ++I)
    if (!Loads[I].Updates.empty() || !Loads[I].Number)
      Cost += Weight(Loads[I].At);
  for (size_t I = FirstTaken; I < Taken.size(); ++I)
    Cost -= Weight(Taken[I].first.User);
  return Cost;
}

void UpdateEmitter::walk(BasicBlock &BB, Registers &R) {
  for (Instruction &I : BB) {
    auto Here = Later.find(&I);
    if (Here != Later.end())
      place(&I, Plan.find(Here->second)->second, R);
    auto Found = Plan.find(&I);
    if (Found != Plan.end()) {
      Update &U = Found->second;
      if (!Baseline && !R.One)
        U.Own = findOwn(&I, U, /*OverCalls=*/Kept.Base || !R.Base);
      if (!U.Own.Number)
        place(&I, U, R);
      else
        Later[U.Own.User] = &I;
      Order.push_back(&I);
      continue;
    }
    // Behind a call only a store has use of what a register kept: elsewhere a copy takes an instruction, too.
    bool Stores = isa<StoreInst>(I) && ownNumber(I, /*Any=*/!R.OverCalls).Number;
    if (R.One && (!R.OverCalls || Stores) && DT->dominates(R.One->At, &I) &&
        (!ownNumbers(I).empty() || returnsZero(I))) {
      R.One->Constants.push_back(&I);
      if (Stores)
        continue;
    }
    bool Call = isRealCall(I);
    if (Call || (!isa<DbgInfoIntrinsic>(I) && ++R.Age > MaxAge)) {
      bool OverCalls = R.OverCalls || Call;
      R = Kept;
      R.OverCalls = OverCalls;
    }
  }
  if (!Baseline && DT->isReachableFromEntry(&BB))
    loadForBranches(BB, R);
}

/// Whether updates need the address, and the number, that R has not, on ways that lead from From to First and on to blocks that only
/// From leads to, before the next call.
std::pair<bool, bool> UpdateEmitter::needAhead(BasicBlock &From, BasicBlock &First,
                                               const Registers &R) const {
  const Loop *L = LI->getLoopFor(&From);
  bool Base = false, One = false;
  DenseMap<BasicBlock *, unsigned> Distance; // to their start, in instructions
  SmallVector<BasicBlock *, 8> Todo;
  auto Add = [&](BasicBlock *BB, unsigned At) {
    if (BB != &From && DT->dominates(&From, BB) && (!L || L->contains(BB)) &&
        Distance.insert({BB, At}).second)
      Todo.push_back(BB);
  };
  Add(&First, 0);
  while (!Todo.empty() && Distance.size() < MaxAge) {
    BasicBlock *BB = Todo.pop_back_val();
    unsigned At = Distance.lookup(BB);
    bool On = true;
    for (Instruction &I : *BB) {
      auto Planned = Plan.find(&I);
      if (Planned != Plan.end()) {
        const Update &U = Planned->second;
        Base |= !R.Base;
        One |= !R.One && needsOne(U) && (ShareOne || !findOwn(&I, U, /*OverCalls=*/false).Number);
        On = false;
      } else if (isRealCall(I) || (!isa<DbgInfoIntrinsic>(I) && ++At > MaxAge)) {
        On = false;
      }
      if (!On)
        break;
    }
    if (On)
      for (BasicBlock *Next : successors(BB))
        Add(Next, At);
  }
  return {Base, One};
}

/// At the end of BB, loads what is needed on several of the ways that go on from there.
void UpdateEmitter::loadForBranches(BasicBlock &BB, Registers &R) {
  if (TooMany || (R.Base && R.One))
    return;
  unsigned Bases = 0, Ones = 0;
  SmallPtrSet<BasicBlock *, 4> Seen;
  for (BasicBlock *Next : successors(&BB)) {
    if (!Seen.insert(Next).second)
      continue;
    auto Need = needAhead(BB, *Next, R);
    Bases += Need.first;
    Ones += Need.second;
  }
  if (Bases > 1)
    R.Base = loadBefore(BB.getTerminator());
  if (Ones > 1) {
    R.One = loadBefore(BB.getTerminator());
    R.OverCalls = false;
  }
  if (Bases > 1 || Ones > 1)
    R.Age = 0;
}

/// Places an update before At.
void UpdateEmitter::place(Instruction *At, Update &U, Registers &R) {
  R.Age = 0;
  if (Baseline)
    return;
  if (!R.Base)
    R.Base = loadBefore(At);
  U.Base = R.Base;
  if (U.Own.Number) {
    U.Unit = U.Own.Number;
    return;
  }
  if (!needsOne(U))
    return;
  if (!R.One) {
    R.One = loadBefore(At);
    R.OverCalls = false;
  }
  U.One = R.One;
  R.One->OverCalls |= R.OverCalls;
  R.One->Updates.push_back(&U);
}

Instruction *UpdateEmitter::load(IRBuilder<> &B, StringRef Asm, Constant *C) {
  auto *FT = FunctionType::get(C->getType(), {C->getType()}, false);
  return B.CreateCall(InlineAsm::get(FT, Asm, "=r,i", /*hasSideEffects=*/true), {C});
}

Value *UpdateEmitter::base(RegisterLoad &L) {
  if (!L.Made) {
    IRBuilder<> B(L.At); // takes over the debug location
    L.Made = load(B, "$0 = $1 ll",
                  ConstantExpr::getPointerBitCastOrAddrSpaceCast(
                      Counters, compat::pointerType(B.getContext())));
  }
  return L.Made;
}

Value *UpdateEmitter::number(RegisterLoad &L) {
  if (!L.Made) {
    IRBuilder<> B(L.At);
    L.Made = load(B, "$0 = $1", B.getInt64(L.Number));
  }
  return L.Made;
}

void UpdateEmitter::emitBaseline(IRBuilder<> &B, uint64_t Offset, Value *Step) {
  Constant *All = ConstantExpr::getPointerBitCastOrAddrSpaceCast(
      Counters, compat::pointerType(B.getContext()));
  Value *P = B.CreateInBoundsGEP(B.getInt8Ty(), All, B.getInt64(Offset));
  P = compat::typedPointer(B, P, B.getInt64Ty());
  B.CreateStore(B.CreateAdd(B.CreateLoad(B.getInt64Ty(), P), Step), P);
}

void UpdateEmitter::emit(Instruction *Planned, const Update &U) {
  IRBuilder<> B(U.Own.Number ? U.Own.User : Planned);
  B.SetCurrentDebugLocation(Planned->getDebugLoc());
  const DataLayout &DL = Counters->getParent()->getDataLayout();
  uint64_t Offset = CounterHeaderSize + uint64_t(U.Index) * Width;
  bool Flag = Flags.test(U.Index);
  if (Flag && Width == 8 && DL.isBigEndian())
    Offset += 7; // the lowest byte of the number
  if (Baseline) {
    emitBaseline(B, Offset, U.Step);
    return;
  }
  Value *Base = base(*U.Base);
  Value *Step = U.Step;
  if (U.Own.Number) {
    RegisterLoad Number;
    Number.At = U.Own.User;
    Number.Number = U.Own.Number;
    Step = number(Number);
  } else if (U.One) {
    Step = number(*U.One);
  }
  if (!U.Step)
    return;
  if (Offset > MaxOffset) {
    Base = B.CreateInBoundsGEP(B.getInt8Ty(), Base, B.getInt64(Offset));
    Offset = 0;
  }
  if (Flag && !U.One) {
    auto *FT = FunctionType::get(B.getVoidTy(), {Base->getType(), B.getInt64Ty()}, false);
    B.CreateCall(InlineAsm::get(FT, "*(u8 *)($0 + $1) = 1", "r,i", /*hasSideEffects=*/true),
                 {Base, B.getInt64(Offset)});
    return;
  }
  const char *Asm = Flag ? "*(u8 *)($0 + $2) = $1" : "lock *(u64 *)($0 + $2) += $1";
  auto *FT = FunctionType::get(B.getVoidTy(), {Base->getType(), B.getInt64Ty(), B.getInt64Ty()},
                               false);
  B.CreateCall(InlineAsm::get(FT, Asm, "r,r,i", /*hasSideEffects=*/true),
               {Base, Step, B.getInt64(Offset)});
  if (U.Own.Number)
    useRegister(U.Own, Step);
}

} // namespace bpfcov

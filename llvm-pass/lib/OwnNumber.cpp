//===- OwnNumber.cpp --------------------------------------------------------===//

#include "bpfcov/OwnNumber.h"
#include "bpfcov/Calls.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/CFG.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/IRBuilder.h"

using namespace llvm;

namespace bpfcov {

namespace {
/// The largest number that is added: a counter of 64 bits must have room for all runs.
constexpr uint64_t MaxNumber = 1 << 16;

/// Whether an argument of type Ty is handed over as it is in its register: one that is extended by attribute is not where registers
/// have 64 bits only.
bool isPlainArgument(const CallBase &Call, unsigned Arg) {
  return !Call.paramHasAttr(Arg, Attribute::SExt) && !Call.paramHasAttr(Arg, Attribute::ZExt) &&
         !Call.paramHasAttr(Arg, Attribute::ImmArg);
}

/// The operands for which I, or for a terminator the end of its block, needs constants in registers.
SmallVector<Use *, 8> registerOperands(Instruction &I) {
  SmallVector<Use *, 8> Uses;
  unsigned MinWidth = isa<StoreInst>(I) ? 8 : 32; // less is extended where it goes
  auto Add = [&](Use &U) {
    auto *C = dyn_cast<ConstantInt>(U.get());
    if (C && C->getBitWidth() >= MinWidth && C->getBitWidth() <= 64 && C->getValue().ult(MaxNumber) &&
        !C->isZero())
      Uses.push_back(&U);
  };
  if (auto *Store = dyn_cast<StoreInst>(&I)) {
    Add(Store->getOperandUse(0));
  } else if (auto *RMW = dyn_cast<AtomicRMWInst>(&I)) {
    Add(RMW->getOperandUse(1));
  } else if (auto *Select = dyn_cast<SelectInst>(&I)) {
    auto *Compare = dyn_cast<ICmpInst>(Select->getCondition());
    if (!Compare || !is_contained(Select->operands(), Compare->getOperand(0))) { // no limit of a value
      Add(Select->getOperandUse(1));
      Add(Select->getOperandUse(2));
    }
  } else if (isRealCall(I)) {
    auto &Call = cast<CallBase>(I);
    for (unsigned Arg = 0; Arg < Call.arg_size(); ++Arg)
      if (isPlainArgument(Call, Arg))
        Add(Call.getArgOperandUse(Arg));
  } else if (isa<ReturnInst>(I)) {
    if (I.getNumOperands())
      Add(I.getOperandUse(0));
  } else if (I.isTerminator()) {
    for (BasicBlock *Next : successors(I.getParent()))
      for (PHINode &Phi : Next->phis())
        for (unsigned In = 0; In < Phi.getNumIncomingValues(); ++In)
          if (Phi.getIncomingBlock(In) == I.getParent())
            Add(Phi.getOperandUse(In));
  }
  return Uses;
}

uint64_t valueOf(const Use *U) { return cast<ConstantInt>(U->get())->getZExtValue(); }
} // namespace

SmallVector<uint32_t, 4> ownNumbers(Instruction &I) {
  SmallVector<uint32_t, 4> Numbers;
  for (const Use *U : registerOperands(I))
    if (!is_contained(Numbers, valueOf(U)))
      Numbers.push_back(static_cast<uint32_t>(valueOf(U)));
  return Numbers;
}

OwnNumber ownNumber(Instruction &I, bool Any) {
  SmallVector<Use *, 8> Uses = registerOperands(I);
  if (any_of(Uses, [](const Use *U) { return valueOf(U) == 1; }))
    return {&I, 1};
  if (!Any || Uses.empty())
    return {};
  return {&I, static_cast<uint32_t>(valueOf(Uses.front()))};
}

bool returnsZero(const Instruction &I) {
  auto *Return = dyn_cast<ReturnInst>(&I);
  auto *C = Return ? dyn_cast_or_null<ConstantInt>(Return->getReturnValue()) : nullptr;
  return C && C->isZero() && C->getBitWidth() >= 32 && C->getBitWidth() <= 64;
}

void useRegister(const OwnNumber &Own, Value *Register) {
  IRBuilder<> B(Own.User);
  DenseMap<Type *, Value *> As; // a phi must have one value for all edges from a block
  SmallVector<Use *, 8> Uses = registerOperands(*Own.User);
  if (!Own.Number && returnsZero(*Own.User))
    Uses.push_back(&Own.User->getOperandUse(0));
  for (Use *U : Uses) {
    if (valueOf(U) != Own.Number)
      continue;
    Value *&V = As[U->get()->getType()];
    if (!V)
      V = B.CreateTrunc(Register, U->get()->getType());
    U->set(V);
  }
}

} // namespace bpfcov

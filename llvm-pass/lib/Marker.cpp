//===- Marker.cpp -----------------------------------------------------------===//

#include "bpfcov/Marker.h"
#include "bpfcov/Compat.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include <string>

using namespace llvm;

namespace bpfcov {

namespace {
/// The attribute of a light marker that says which counter it is for.
constexpr char CounterAttribute[] = "bpfcov-counter";

enum MarkerOperand { IndexOp = 0, TagOp = 1, FileOp = 2, StepOp = 3, WideOp = 4 };

GlobalVariable *getOrCreateMarkerGlobal(Module &M) {
  if (GlobalVariable *GV = markerGlobal(M))
    return GV;
  Type *I8 = Type::getInt8Ty(M.getContext());
  return new GlobalVariable(M, I8, /*isConstant=*/true, GlobalValue::PrivateLinkage,
                            ConstantInt::get(I8, 0), MarkerName);
}
} // namespace

GlobalVariable *markerGlobal(Module &M) {
  return M.getGlobalVariable(MarkerName, /*AllowInternal=*/true);
}

void insertMarker(Instruction *Before, uint32_t Index, Value *Step) {
  Module &M = *Before->getModule();
  IRBuilder<> B(Before); // takes over the debug location
  auto *Constant1 = dyn_cast<ConstantInt>(Step);
  if (Constant1 && Constant1->isOne()) {
    CallInst *CI = B.CreateCall(compat::sideEffect(M));
    CI->addFnAttr(Attribute::get(M.getContext(), CounterAttribute, std::to_string(Index)));
    CI->addFnAttr(Attribute::NoMerge);
    return;
  }
  PointerType *Ptr = compat::pointerType(M.getContext());
  Constant *Null = ConstantPointerNull::get(Ptr);

  Value *Narrow = nullptr;
  Value *Wide = Null;
  if (auto *C = dyn_cast<ConstantInt>(Step)) {
    if (C->getValue().isIntN(32))
      Narrow = B.getInt32(static_cast<uint32_t>(C->getZExtValue()));
  } else if (auto *Ext = dyn_cast<ZExtInst>(Step)) {
    if (Ext->getSrcTy()->getIntegerBitWidth() <= 32)
      Narrow = B.CreateZExt(Ext->getOperand(0), B.getInt32Ty());
  }
  if (!Narrow) {
    Narrow = B.getInt32(0);
    Wide = B.CreateIntToPtr(Step, Ptr);
  }

  Constant *Tag = ConstantExpr::getPointerBitCastOrAddrSpaceCast(getOrCreateMarkerGlobal(M), Ptr);
  Constant *IndexPtr = ConstantExpr::getIntToPtr(B.getInt64(Index), Ptr);
  CallInst *CI = B.CreateCall(compat::varAnnotation(M), {IndexPtr, Tag, Null, Narrow, Wide});
  CI->addFnAttr(Attribute::NoMerge);
}

namespace {
/// The "function" that our probes are of. No compile of clang's own emits probes together with
/// counters.
constexpr uint64_t ProbeGuid = 0xbfc0bfc0bfc0bfc0;
} // namespace

void insertProbe(Instruction *Before, uint32_t Index) {
  IRBuilder<> B(Before);
  constexpr uint64_t WholeFactor = ~uint64_t(0);
  B.CreateCall(compat::pseudoProbe(*Before->getModule()),
               {B.getInt64(ProbeGuid), B.getInt64(Index), B.getInt32(0), B.getInt64(WholeFactor)});
}

void hardenProbes(Function &F) {
  SmallVector<PseudoProbeInst *, 32> Probes;
  for (Instruction &I : instructions(F))
    if (auto *P = dyn_cast<PseudoProbeInst>(&I))
      if (P->getFuncGuid()->equalsInt(ProbeGuid))
        Probes.push_back(P);
  for (PseudoProbeInst *P : Probes) {
    insertMarker(P, static_cast<uint32_t>(P->getIndex()->getZExtValue()),
                 ConstantInt::get(Type::getInt64Ty(F.getContext()), 1));
    P->eraseFromParent();
  }
}

int64_t lightMarker(const CallInst &Call) {
  uint32_t Index;
  if (Call.getIntrinsicID() != Intrinsic::sideeffect ||
      Call.getFnAttr(CounterAttribute).getValueAsString().getAsInteger(10, Index))
    return -1;
  return Index;
}

CallInst *asMarker(Instruction &I, const GlobalVariable *Marker) {
  auto *II = dyn_cast<IntrinsicInst>(&I);
  if (II && lightMarker(*II) >= 0)
    return II;
  if (!II || !Marker || II->getIntrinsicID() != Intrinsic::var_annotation)
    return nullptr;
  return II->getArgOperand(TagOp)->stripPointerCasts() == Marker ? II : nullptr;
}

Value *markerIndex(const CallInst &Marker) { return Marker.getArgOperand(IndexOp); }

Value *markerStep(const CallInst &Marker) { return Marker.getArgOperand(StepOp); }

Value *markerWideStep(const CallInst &Marker) {
  Value *V = Marker.getArgOperand(WideOp);
  return isa<ConstantPointerNull>(V) ? nullptr : V;
}

} // namespace bpfcov

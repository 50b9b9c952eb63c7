//===- Calls.cpp ------------------------------------------------------------===//

#include "bpfcov/Calls.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"

using namespace llvm;

namespace bpfcov {

namespace {
/// BPF_FUNC_tail_call of include/uapi/linux/bpf.h: what follows the call runs only when it fails.
constexpr uint64_t HelperTailCall = 12;

constexpr char ThrowName[] = "bpf_throw";

/// The number of the helper that CB calls, as bpf_helper_defs.h declares them: a constant address.
const ConstantInt *helper(const CallBase &CB) {
  auto *CE = dyn_cast<ConstantExpr>(CB.getCalledOperand()->stripPointerCasts());
  if (!CE || CE->getOpcode() != Instruction::IntToPtr)
    return nullptr;
  return dyn_cast<ConstantInt>(CE->getOperand(0));
}

bool asmMayLeave(const CallBase &CB) {
  StringRef Text = cast<InlineAsm>(CB.getCalledOperand())->getAsmString();
  for (const char *Word : {"exit", "call", "goto"})
    if (Text.contains(Word))
      return true;
  // Instructions that the assembler has no name for; may_goto shows where it goes.
  return !isa<CallBrInst>(CB) && Text.contains('.');
}
} // namespace

bool isRealCall(const Instruction &I) {
  auto *CB = dyn_cast<CallBase>(&I);
  return CB && !CB->isInlineAsm() && !isa<IntrinsicInst>(CB);
}

uint64_t helperNumber(const CallBase &CB) {
  const ConstantInt *Number = helper(CB);
  return Number ? Number->getZExtValue() : 0;
}

bool isTailCall(const Instruction &I) {
  auto *CB = dyn_cast<CallBase>(&I);
  return CB && helperNumber(*CB) == HelperTailCall;
}

bool mayLeave(const Instruction &I) {
  auto *CB = dyn_cast<CallBase>(&I);
  if (!CB || isa<IntrinsicInst>(CB))
    return false;
  if (CB->isInlineAsm())
    return asmMayLeave(*CB);
  bool Throws = CB->getModule()->getFunction(ThrowName);
  bool HasCallback = any_of(CB->args(), [](const Use &Arg) {
    return isa<Function>(Arg->stripPointerCasts());
  });
  if (helper(*CB))
    return isTailCall(I) || (Throws && HasCallback);
  auto *F = dyn_cast<Function>(CB->getCalledOperand()->stripPointerCasts());
  if (!F)
    return true;
  // Other functions of the kernel come back. Those of another object, linked later, may throw.
  if (F->isDeclaration())
    return F->getSection() != ".ksyms" || F->getName() == ThrowName || (Throws && HasCallback);
  return F->isInterposable() || Throws;
}

} // namespace bpfcov

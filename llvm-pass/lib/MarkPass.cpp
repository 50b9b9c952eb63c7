//===- MarkPass.cpp ---------------------------------------------------------===//

#include "bpfcov/MarkPass.h"
#include "bpfcov/Clamp.h"
#include "bpfcov/Compat.h"
#include "bpfcov/CoverageData.h"
#include "bpfcov/Diagnostics.h"
#include "bpfcov/Marker.h"
#include "bpfcov/Policy.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/Support/MD5.h"

using namespace llvm;

namespace bpfcov {

namespace {
/// llvm.instrprof.increment[.step](name, function hash, number of counters, index[, step])
struct Increment {
  IntrinsicInst *Call;
  FunctionKey Key;
  uint32_t NumCounters;
  uint32_t Index;
  Value *Step;
};

enum class Kind { Other, Increment, Removable, Unsupported };

Kind classify(const IntrinsicInst &II) {
  switch (II.getIntrinsicID()) {
  case Intrinsic::instrprof_increment:
  case Intrinsic::instrprof_increment_step:
    return Kind::Increment;
  case Intrinsic::instrprof_value_profile:
    return Kind::Removable; // clang's -enable-value-profiling, which the mapping does not use
  default:
    break;
  }
  // By name, because majors differ in which of them exist (cover, timestamp, mcdc.*, callsite).
  StringRef Name = II.getCalledFunction()->getName();
  return compat::startsWith(Name, "llvm.instrprof.") ? Kind::Unsupported : Kind::Other;
}

bool readIncrement(IntrinsicInst &II, Increment &Inc) {
  auto *Name = dyn_cast<GlobalVariable>(II.getArgOperand(0)->stripPointerCasts());
  auto *Hash = dyn_cast<ConstantInt>(II.getArgOperand(1));
  auto *Num = dyn_cast<ConstantInt>(II.getArgOperand(2));
  auto *Index = dyn_cast<ConstantInt>(II.getArgOperand(3));
  if (!Name || !Name->hasInitializer() || !Hash || !Num || !Index)
    return false;
  auto *Text = dyn_cast<ConstantDataSequential>(Name->getInitializer());
  if (!Text || !Text->isString())
    return false;
  Inc.Call = &II;
  Inc.Key = {MD5Hash(Text->getAsString()), Hash->getZExtValue()};
  Inc.NumCounters = static_cast<uint32_t>(Num->getZExtValue());
  Inc.Index = static_cast<uint32_t>(Index->getZExtValue());
  Inc.Step = II.getIntrinsicID() == Intrinsic::instrprof_increment_step
                 ? II.getArgOperand(4)
                 : ConstantInt::get(Type::getInt64Ty(II.getContext()), 1);
  return Inc.Index < Inc.NumCounters;
}

/// What to tell the user about an intrinsic that has no marker.
std::string unsupported(const IntrinsicInst &II) {
  StringRef Name = II.getCalledFunction()->getName();
  std::string Where = "function " + II.getFunction()->getName().str() + ": ";
  if (compat::startsWith(Name, "llvm.instrprof.mcdc"))
    return Where + "MC/DC coverage is not supported yet: compile without -fcoverage-mcdc";
  if (compat::startsWith(Name, "llvm.instrprof.cover"))
    return Where + "clang's single byte counters are not supported: compile without "
                   "-enable-single-byte-coverage and use -mllvm -bpfcov-counter=flag";
  return Where + "unknown profiling intrinsic " + Name.str();
}

bool hasProgram(const Module &M) {
  for (const Function &F : M)
    if (!F.isDeclaration() && F.hasSection())
      return true;
  return false;
}

/// Chooses how each function is instrumented.
bool decide(Module &M, CoverageData &Data) {
  Policy P;
  if (!P.load(M.getContext()))
    return false;
  DenseMap<Function *, FunctionCounters *> Known;
  for (FunctionCounters &F : Data.Functions)
    Known[F.F] = &F;
  MapVector<Function *, Choice> Choices;
  for (Function &F : M)
    if (!F.isDeclaration()) {
      FunctionCounters *Counters = Known.lookup(&F);
      Choices[&F] = P.choose(Counters ? Counters->File : "", F.getName());
    }
  spread(Choices);
  for (FunctionCounters &F : Data.Functions) {
    Choice C = Choices[F.F];
    F.Fidelity = C.Level;
    F.Flag = C.Flag;
    // A naked function is assembly that finds its arguments in registers, which an update would
    // overwrite.
    if (F.F->hasFnAttribute(Attribute::Naked))
      F.Fidelity = FidelityOff;
  }
  return true;
}

/// Lets the optimiser fold what it folds in any case when it first sees the function by itself, and
/// makes ordinary markers of the probes that are left. A probe that is deleted later, in one of
/// several inlined copies, would leave a counter that misses some of the runs of its code; like
/// this there is one copy, and a counter that exists is exact.
void fold(Function &F, FunctionAnalysisManager &FAM) {
  PassBuilder PB;
  FunctionPassManager FPM;
  if (Error E = PB.parsePassPipeline(FPM, "sroa,early-cse,instcombine,simplifycfg"))
    error(F.getContext(), "cannot fold " + F.getName() + ": " + toString(std::move(E)));
  else
    FAM.invalidate(F, FPM.run(F, FAM));
  hardenProbes(F);
}

void eraseAll(ArrayRef<IntrinsicInst *> Calls) {
  for (IntrinsicInst *II : Calls) {
    if (!II->use_empty())
      II->replaceAllUsesWith(UndefValue::get(II->getType()));
    II->eraseFromParent();
  }
}
} // namespace

PreservedAnalyses MarkPass::run(Module &M, ModuleAnalysisManager &AM) {
  if (!compat::isBPF(M))
    return PreservedAnalyses::all();

  SmallVector<IntrinsicInst *, 64> Calls;
  SmallVector<Increment, 64> Increments;
  MapVector<FunctionKey, CounterNeed> Counts;
  bool Failed = false;
  for (Function &F : M) {
    bool Reported = false; // one complaint a function is enough
    for (Instruction &I : instructions(F)) {
      auto *II = dyn_cast<IntrinsicInst>(&I);
      if (!II)
        continue;
      Kind K = classify(*II);
      if (K == Kind::Other)
        continue;
      Calls.push_back(II);
      Increment Inc;
      if (K == Kind::Increment && readIncrement(*II, Inc)) {
        CounterNeed &Need = Counts[Inc.Key];
        Need.Count = std::max(Need.Count, Inc.NumCounters);
        Need.F = &F;
        Increments.push_back(Inc);
      } else if (K != Kind::Removable && !Reported) {
        error(M.getContext(), K == Kind::Unsupported
                                  ? unsupported(*II)
                                  : "function " + F.getName() + ": malformed increment");
        Reported = Failed = true;
      }
    }
  }

  // A unit without programs may be a configure script's probe of the compiler: let it be.
  if (!Optimising && !Increments.empty()) {
    if (hasProgram(M))
      error(M.getContext(), "cannot instrument at -O0, whose BPF objects do not load: compile with "
                            "-O1 or higher, or set BPFCOV_DISABLE=1");
    Failed = true;
  }

  CoverageData Data;
  if (!Failed)
    Failed = !readCoverageData(M, Counts, Data);
  if (!Failed)
    Failed = !decide(M, Data);
  if (!Failed) {
    Data.place();
    DenseMap<FunctionKey, const FunctionCounters *> Known;
    for (const FunctionCounters &F : Data.Functions)
      Known[{F.NameHash, F.Hash}] = &F;
    for (const Increment &Inc : Increments) {
      const FunctionCounters *F = Known.lookup(Inc.Key);
      if (!F || !F->Count)
        continue;
      if (F->Fidelity == FidelityRegion) {
        Value *Step = Inc.Step;
        Instruction *Clamp = Baseline ? nullptr : liftClamp(*Inc.Call, Step);
        insertMarker(Clamp ? Clamp : Inc.Call, F->First + Inc.Index, Step);
      } else if (isa<ConstantInt>(Inc.Step)) // clang's only other steps are of a select
        insertProbe(Inc.Call, F->First + Inc.Index);
    }
    if (!Data.Functions.empty())
      Data.store(M);
  }
  eraseAll(Calls);
  stripProfileGlobals(M);
  for (const FunctionCounters &F : Data.Functions)
    if (!Failed && F.Fidelity == FidelityProbe)
      fold(*F.F, AM.getResult<FunctionAnalysisManagerModuleProxy>(M).getManager());
  return PreservedAnalyses::none();
}

} // namespace bpfcov

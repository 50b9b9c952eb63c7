//===- LowerPass.cpp --------------------------------------------------------===//

#include "bpfcov/LowerPass.h"
#include "bpfcov/BlockOrder.h"
#include "bpfcov/Clamp.h"
#include "bpfcov/Compat.h"
#include "bpfcov/CoverageData.h"
#include "bpfcov/Diagnostics.h"
#include "bpfcov/Groups.h"
#include "bpfcov/Layout.h"
#include "bpfcov/LineCounters.h"
#include "bpfcov/Marker.h"
#include "bpfcov/Returns.h"
#include "bpfcov/UpdateEmitter.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/PatternMatch.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Transforms/Utils/BasicBlockUtils.h"
#include "llvm/Transforms/Utils/ModuleUtils.h"

using namespace llvm;
using namespace llvm::PatternMatch;

// For tests: what updates of their own say must be what groups say.
static cl::opt<bool> GroupUpdates("bpfcov-group", cl::Hidden, cl::init(true),
                                  cl::desc("One update for all that always happen together"));

namespace bpfcov {

namespace {
constexpr char SectionName[] = ".data.bpfcov";
constexpr char CountersName[] = "__bpfcov_counters";

/// A marker whose index the optimiser turned into a value may name this many counters.
constexpr unsigned MaxIndexChoices = 64;

class Lowering {
public:
  Lowering(Module &M, CoverageData &Data, bool Baseline) : M(M), Data(Data), Baseline(Baseline) {}

  void run();

private:
  void placeLines();
  void createCounters();
  void lowerMarkers();
  bool lower(CallInst &Marker);
  bool lowerChoice(CallInst &Marker);
  void update(IRBuilder<> &B, uint32_t Index, Value *Step);
  void updateWithStep(Instruction *Before, uint32_t Index, const CallInst &Marker);
  void number();
  void finish();

  Module &M;
  CoverageData &Data;
  bool Baseline;
  unsigned Width = 8;
  BitVector Flags; ///< counters that are one byte
  BitVector Emitted;
  std::vector<LineSite> LineSites;
  uint32_t FirstLine = 0; ///< the counter of LineSites[0]
  GlobalVariable *Counters = nullptr;
  UpdatePlan Updates;
};

/// The index of a marker that is a constant, as it always should be.
bool constantIndex(Value *V, uint64_t &Index) {
  if (isa<ConstantPointerNull>(V)) {
    Index = 0;
    return true;
  }
  auto *CE = dyn_cast<ConstantExpr>(V);
  if (!CE || CE->getOpcode() != Instruction::IntToPtr)
    return false;
  auto *CI = dyn_cast<ConstantInt>(CE->getOperand(0));
  if (!CI)
    return false;
  Index = CI->getZExtValue();
  return true;
}

/// All constants that can flow through phis and selects into V. False if anything else can.
bool collectIndices(Value *V, SmallSetVector<uint64_t, 8> &Indices) {
  SmallSetVector<Value *, 8> Work;
  Work.insert(V);
  for (unsigned I = 0; I < Work.size(); ++I) {
    uint64_t Index;
    if (constantIndex(Work[I], Index))
      Indices.insert(Index);
    else if (auto *Phi = dyn_cast<PHINode>(Work[I]))
      Work.insert(Phi->value_op_begin(), Phi->value_op_end());
    else if (auto *Sel = dyn_cast<SelectInst>(Work[I])) {
      Work.insert(Sel->getTrueValue());
      Work.insert(Sel->getFalseValue());
    } else
      return false;
    if (Work.size() > MaxIndexChoices)
      return false;
  }
  return true;
}

/// Returns the i1 that decides between step 1 and step 0, or null. Negated says that true is 0.
Value *stepCondition(Value *Step, bool &Negated) {
  Value *C;
  Negated = false;
  if (match(Step, m_ZExt(m_Value(C))) && C->getType()->isIntegerTy(1))
    return C;
  if (match(Step, m_Select(m_Value(C), m_One(), m_Zero())) && C->getType()->isIntegerTy(1))
    return C;
  if (match(Step, m_Select(m_Value(C), m_Zero(), m_One())) && C->getType()->isIntegerTy(1)) {
    Negated = true;
    return C;
  }
  return nullptr;
}

/// Plans the counters of "line" fidelity. Places are found before any update is there to be found.
void Lowering::placeLines() {
  std::vector<FunctionLine> Unsure;
  LineSites = findLineSites(M, Data, Unsure);
  FirstLine = Data.NumCounters;
  Data.NumCounters += LineSites.size();
  Data.Lines = lineTable(LineSites, Unsure, FirstLine);

  Emitted.resize(Data.NumCounters);
  Flags.resize(Data.NumCounters);
  for (const FunctionCounters &F : Data.Functions)
    if (F.Flag)
      Flags.set(F.First, F.First + F.Count);
  for (size_t I = 0; I < LineSites.size(); ++I)
    if (LineSites[I].Flag)
      Flags.set(FirstLine + I);
}

void Lowering::createCounters() {
  LLVMContext &Ctx = M.getContext();
  uint32_t Bytes = counterBlockSize(Data.NumCounters, Width) - CounterHeaderSize;
  // The header is filled in by finish(), when the object id is known.
  Type *Header = ArrayType::get(Type::getInt8Ty(Ctx), CounterHeaderSize);
  Type *Body = ArrayType::get(Type::getIntNTy(Ctx, Width * 8), Bytes / Width);
  auto *Ty = StructType::get(Ctx, {Header, Body}, /*isPacked=*/true);
  Counters = new GlobalVariable(M, Ty, /*isConstant=*/false, GlobalValue::InternalLinkage,
                                Constant::getNullValue(Ty), CountersName);
  Counters->setSection(SectionName);
  Counters->setAlignment(Align(8));
  // Programs share the array through the section: nothing may split or drop it.
  appendToCompilerUsed(M, {Counters});
}

void Lowering::update(IRBuilder<> &B, uint32_t Index, Value *Step) {
  planUpdate(Updates, B, Index, Step);
  Emitted.set(Index);
}

/// Makes phis of what Cond selects but for Step, which only the marker uses, now that control branches on it to Then, before
/// Join: the back end would compare and branch again for each of them, and a verifier that does not see that the second
/// comparison is the first (6.1, with the constant on its left side) walks ways that cannot be, with bounds that cannot be.
void chooseByBranch(Value *Cond, const Value *Step, BasicBlock &Then, BasicBlock &Join) {
  BasicBlock *Head = Then.getSinglePredecessor();
  SmallVector<std::pair<Instruction *, Value *>, 4> Choices; // and the condition or its opposite
  auto Collect = [&](Value *C) {
    for (User *U : C->users()) {
      auto *I = cast<Instruction>(U);
      bool Chooses = isa<ZExtInst>(I) || (isa<SelectInst>(I) && I->getOperand(0) == C);
      if (Chooses && I != Step && (I->getParent() == Head || I->getParent() == &Join))
        Choices.push_back({I, C});
    }
  };
  Collect(Cond);
  SmallVector<Instruction *, 2> Opposites;
  for (User *U : Cond->users())
    if (match(U, m_Not(m_Specific(Cond))))
      Opposites.push_back(cast<Instruction>(U));
  for (Instruction *I : Opposites)
    Collect(I);
  for (auto &Choice : Choices) {
    Instruction *I = Choice.first;
    Value *True, *False;
    if (auto *Select = dyn_cast<SelectInst>(I)) {
      True = Select->getTrueValue();
      False = Select->getFalseValue();
    } else {
      True = ConstantInt::get(I->getType(), 1);
      False = ConstantInt::get(I->getType(), 0);
    }
    if (Choice.second != Cond)
      std::swap(True, False);
    // The values must be there before Join, and the choice must not be needed before it.
    auto InJoin = [&](Value *V) {
      auto *VI = dyn_cast<Instruction>(V);
      return VI && VI->getParent() == &Join;
    };
    bool Early = any_of(I->users(), [&](User *U) {
      auto *UI = cast<Instruction>(U);
      return UI->getParent() == Head && !isa<PHINode>(UI);
    });
    if (InJoin(True) || InJoin(False) || Early)
      continue;
    PHINode *Phi = IRBuilder<>(&Join, Join.begin()).CreatePHI(I->getType(), 2);
    Phi->addIncoming(True, &Then);
    Phi->addIncoming(False, Head);
    I->replaceAllUsesWith(Phi);
    I->eraseFromParent();
  }
  for (Instruction *I : Opposites)
    if (I->use_empty())
      I->eraseFromParent();
}

void Lowering::updateWithStep(Instruction *Before, uint32_t Index, const CallInst &Marker) {
  IRBuilder<> B(Before);
  B.SetCurrentDebugLocation(Marker.getDebugLoc());
  if (Value *Wide = markerWideStep(Marker)) {
    update(B, Index, B.CreatePtrToInt(Wide, B.getInt64Ty()));
    return;
  }
  Value *Step = markerStep(Marker);
  if (auto *C = dyn_cast<ConstantInt>(Step)) {
    if (!C->isZero())
      update(B, Index, B.getInt64(C->getZExtValue()));
    return;
  }
  // A branch instead of adding 0 or 1: BPF has no conditional move, so the verifier follows both
  // sides anyway, and this way it can remove an update that never happens.
  bool Negated;
  if (Value *Cond = stepCondition(Step, Negated)) {
    if (Value *Changed = Negated ? nullptr : clampChanged(Cond, *Before))
      Cond = Changed;
    if (Negated)
      Cond = B.CreateNot(Cond);
    Instruction *Then = SplitBlockAndInsertIfThen(Cond, Before, /*Unreachable=*/false);
    IRBuilder<> TB(Then);
    TB.SetCurrentDebugLocation(Marker.getDebugLoc());
    update(TB, Index, TB.getInt64(1));
    chooseByBranch(Cond, Step->hasOneUse() ? Step : nullptr, *Then->getParent(), *Before->getParent());
    return;
  }
  Value *Wide = B.CreateZExt(Step, B.getInt64Ty());
  if (!Flags.test(Index)) {
    update(B, Index, Wide);
    return;
  }
  Value *NonZero = B.CreateICmpNE(Wide, B.getInt64(0));
  IRBuilder<> TB(SplitBlockAndInsertIfThen(NonZero, Before, /*Unreachable=*/false));
  TB.SetCurrentDebugLocation(Marker.getDebugLoc());
  update(TB, Index, Wide);
}

/// The optimiser merged markers of several counters into one. nomerge forbids that, so this is for
/// a pass that does not know the attribute: ask at run time which counter it is, exactly.
bool Lowering::lowerChoice(CallInst &Marker) {
  SmallSetVector<uint64_t, 8> Indices;
  if (!collectIndices(markerIndex(Marker), Indices))
    return false;
  for (uint64_t Index : Indices)
    if (Index >= Data.NumCounters)
      return false;
  IRBuilder<> B(&Marker);
  Value *Which = B.CreatePtrToInt(markerIndex(Marker), B.getInt64Ty());
  for (uint64_t Index : Indices) {
    IRBuilder<> CB(&Marker);
    Value *Is = CB.CreateICmpEQ(Which, CB.getInt64(Index));
    Instruction *Then = SplitBlockAndInsertIfThen(Is, &Marker, /*Unreachable=*/false);
    updateWithStep(Then, static_cast<uint32_t>(Index), Marker);
  }
  return true;
}

bool Lowering::lower(CallInst &Marker) {
  if (int64_t Light = lightMarker(Marker); Light >= 0) {
    IRBuilder<> B(&Marker);
    if (Light < Data.NumCounters)
      update(B, static_cast<uint32_t>(Light), B.getInt64(1));
    return Light < Data.NumCounters;
  }
  uint64_t Index;
  if (!constantIndex(markerIndex(Marker), Index))
    return lowerChoice(Marker);
  if (Index >= Data.NumCounters)
    return false;
  updateWithStep(&Marker, static_cast<uint32_t>(Index), Marker);
  return true;
}

void Lowering::finish() {
  bool LittleEndian = M.getDataLayout().isLittleEndian();
  ObjectID ID = objectID(M, Data, Width, Emitted);
  std::string Header = counterHeader(Data, Width, ID, LittleEndian);
  auto *Ty = cast<StructType>(Counters->getValueType());
  Counters->setInitializer(ConstantStruct::get(
      Ty, {ConstantDataArray::getString(M.getContext(), Header, /*AddNull=*/false),
           Constant::getNullValue(Ty->getElementType(1))}));

  appendSection(M, "__llvm_covmap", Data.Covmap);
  appendSection(M, "__llvm_covfun", Data.Covfun);
  appendSection(M, "__llvm_prf_names", Data.Names);
  appendSection(M, "__bpfcov_fun", functionTable(Data, Width, ID, Emitted, LittleEndian));
}

void Lowering::lowerMarkers() {
  GlobalVariable *Tag = markerGlobal(M);
  for (Function &F : M) {
    SmallVector<CallInst *, 32> Markers;
    for (Instruction &I : instructions(F))
      if (CallInst *CI = asMarker(I, Tag))
        Markers.push_back(CI);
    for (CallInst *CI : Markers) {
      if (!lower(*CI))
        error(M.getContext(), "function " + F.getName() +
                                  ": the optimiser changed a counter update beyond recognition; "
                                  "please report this with the preprocessed source");
      CI->eraseFromParent();
    }
  }
  if (Tag) {
    Tag->removeDeadConstantUsers();
    if (Tag->use_empty())
      Tag->eraseFromParent();
  }
}

/// Gives updates that stand for several counters, or add another number than 1, counters of their own.
void Lowering::number() {
  std::vector<CounterGroup> Groups = numberGroups(Updates, Data.NumCounters);
  Emitted.resize(Data.NumCounters + Groups.size(), true);
  for (const CounterGroup &G : Groups)
    Flags.push_back(Flags.test(G.Members.begin()->first));
  Data.NumCounters += Groups.size();
  Data.Groups = groupTable(Groups);
}

void Lowering::run() {
  placeLines();
  lowerMarkers();
  for (size_t I = 0; I < LineSites.size(); ++I) {
    IRBuilder<> B(LineSites[I].Before); // takes over the debug location
    update(B, FirstLine + I, B.getInt64(1));
  }
  bool Group = GroupUpdates && !Baseline;
  if (Group)
    groupUpdates(Updates, Flags, FirstLine);
  if (!Baseline)
    returnAtOnce(Updates);
  UpdateEmitter Emitter(Updates, Flags, Baseline, /*AnyNumber=*/Group);
  Emitter.place();
  number();
  Width = Data.NumCounters && Flags.all() ? 1 : 8;
  createCounters();
  MapVector<Function *, unsigned> Functions; // and how many counts they have
  for (auto &Entry : Updates)
    Functions[Entry.first->getFunction()] += !Flags.test(Entry.second.Index);
  Emitter.emit(Counters, Width);
  for (auto &F : Functions)
    if (!Baseline && F.second <= MaxUpdates)
      orderBlocks(*F.first);
  finish();
}
} // namespace

PreservedAnalyses LowerPass::run(Module &M, ModuleAnalysisManager &) {
  CoverageData Data;
  if (!Data.load(M))
    return PreservedAnalyses::all();
  CoverageData::erase(M);
  Lowering(M, Data, Baseline).run();
  return PreservedAnalyses::none();
}

} // namespace bpfcov

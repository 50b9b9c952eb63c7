//===- CoverageData.cpp -----------------------------------------------------===//

#include "bpfcov/CoverageData.h"
#include "bpfcov/Compat.h"
#include "bpfcov/Diagnostics.h"
#include "bpfcov/Layout.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/DataLayout.h"
#include "llvm/Support/LEB128.h"
#include "llvm/Support/MD5.h"
#include "llvm/Support/Path.h"
#include "llvm/Transforms/Utils/ModuleUtils.h"

using namespace llvm;

namespace bpfcov {

namespace {
constexpr char MetadataName[] = "bpfcov.coverage";
constexpr char CovrecPrefix[] = "__covrec_";
constexpr char CovmapName[] = "__llvm_coverage_mapping";
constexpr char CoverageNames[] = "__llvm_coverage_names";
constexpr char ProfnPrefix[] = "__profn_";

/// Writes C as it would lie in memory. False for anything with an address in it.
bool serialize(const Constant *C, const DataLayout &DL, std::string &Out, size_t At) {
  size_t Size = DL.getTypeAllocSize(C->getType());
  if (Out.size() < At + Size)
    Out.resize(At + Size);
  if (isa<ConstantAggregateZero>(C))
    return true;
  if (auto *Int = dyn_cast<ConstantInt>(C)) {
    if (Int->getBitWidth() > 64)
      return false;
    ByteWriter W(DL.isLittleEndian());
    W.number(Int->getZExtValue(), DL.getTypeStoreSize(C->getType()));
    std::string Bytes = W.take();
    Out.replace(At, Bytes.size(), Bytes);
    return true;
  }
  if (auto *Seq = dyn_cast<ConstantDataSequential>(C)) {
    size_t Each = DL.getTypeAllocSize(Seq->getElementType());
    for (unsigned I = 0, E = Seq->getNumElements(); I < E; ++I)
      if (!serialize(Seq->getElementAsConstant(I), DL, Out, At + I * Each))
        return false;
    return true;
  }
  if (auto *Struct = dyn_cast<ConstantStruct>(C)) {
    const StructLayout *SL = DL.getStructLayout(Struct->getType());
    for (unsigned I = 0, E = Struct->getNumOperands(); I < E; ++I)
      if (!serialize(Struct->getOperand(I), DL, Out, At + SL->getElementOffset(I)))
        return false;
    return true;
  }
  if (auto *Array = dyn_cast<ConstantArray>(C)) {
    size_t Each = DL.getTypeAllocSize(Array->getType()->getElementType());
    for (unsigned I = 0, E = Array->getNumOperands(); I < E; ++I)
      if (!serialize(Array->getOperand(I), DL, Out, At + I * Each))
        return false;
    return true;
  }
  return false;
}

bool contents(const GlobalVariable &GV, std::string &Out) {
  Out.clear();
  const DataLayout &DL = GV.getParent()->getDataLayout();
  return GV.hasInitializer() && serialize(GV.getInitializer(), DL, Out, 0);
}

/// The fixed part of a record of __llvm_covfun: name hash, data size, function hash, hash of the
/// file names (llvm/ProfileData/InstrProfData.inc, COVMAP_FUNC_RECORD).
bool recordKey(const GlobalVariable &GV, FunctionKey &Key) {
  if (!GV.hasInitializer())
    return false;
  auto *Init = dyn_cast<ConstantStruct>(GV.getInitializer());
  if (!Init || Init->getNumOperands() != 5)
    return false;
  auto *Name = dyn_cast<ConstantInt>(Init->getOperand(0));
  auto *Hash = dyn_cast<ConstantInt>(Init->getOperand(2));
  if (!Name || !Hash)
    return false;
  Key = {Name->getZExtValue(), Hash->getZExtValue()};
  return true;
}

/// Profile names by their hash. Every function of the mapping has its name in a __profn_ global:
/// used ones for their increments, unused ones for __llvm_coverage_names.
DenseMap<uint64_t, std::string> profileNames(Module &M) {
  DenseMap<uint64_t, std::string> Names;
  for (GlobalVariable &GV : M.globals()) {
    if (!compat::startsWith(GV.getName(), ProfnPrefix))
      continue;
    std::string Name;
    if (contents(GV, Name))
      Names[MD5Hash(Name)] = Name;
  }
  return Names;
}

/// Reads a ULEB128 number from the front of S. False when there is none.
bool takeNumber(StringRef &S, uint64_t &Value) {
  auto *Begin = reinterpret_cast<const uint8_t *>(S.data());
  unsigned Size = 0;
  const char *Failure = nullptr;
  Value = decodeULEB128(Begin, &Size, Begin + S.size(), &Failure);
  S = S.drop_front(std::min<size_t>(Size, S.size()));
  return !Failure;
}

/// The files of the unit as its readers name them: relative names joined to the compilation folder,
/// which is the first name (llvm/lib/ProfileData/Coverage/CoverageMappingWriter.cpp). Empty when
/// they are compressed or not as expected.
std::vector<std::string> fileNames(StringRef Covmap) {
  constexpr size_t HeaderSize = 16;
  StringRef Rest = Covmap.drop_front(std::min(HeaderSize, Covmap.size()));
  uint64_t Number, Size, Packed;
  if (!takeNumber(Rest, Number) || !takeNumber(Rest, Size) || !takeNumber(Rest, Packed) || Packed)
    return {};
  std::vector<std::string> Files;
  for (uint64_t I = 0; I < Number; ++I) {
    if (!takeNumber(Rest, Size) || Size > Rest.size())
      return {};
    SmallString<128> Name;
    if (I > 0 && !sys::path::is_absolute(Rest.take_front(Size)))
      Name = Files[0];
    sys::path::append(Name, Rest.take_front(Size));
    if (I > 0)
      sys::path::remove_dots(Name, /*remove_dot_dot=*/true);
    Files.push_back(std::string(Name));
    Rest = Rest.drop_front(Size);
  }
  return Files;
}

/// The first file of a mapping record, "" when it is not known.
std::string firstFile(StringRef Record, ArrayRef<std::string> Files) {
  constexpr size_t HeaderSize = 28;
  StringRef Rest = Record.drop_front(std::min(HeaderSize, Record.size()));
  uint64_t Number, Index;
  if (!takeNumber(Rest, Number) || !Number || !takeNumber(Rest, Index) || Index >= Files.size())
    return "";
  return Files[Index];
}

std::string nameSection(const std::vector<std::string> &Names, bool LittleEndian) {
  std::string Joined;
  for (const std::string &Name : Names) {
    if (!Joined.empty())
      Joined += '\1';
    Joined += Name;
  }
  ByteWriter W(LittleEndian);
  W.uleb(Joined.size());
  W.uleb(0); // not compressed
  W.bytes(Joined);
  W.pad(8); // readers skip zero bytes between chunks
  return W.take();
}
} // namespace

bool readCoverageData(Module &M, const MapVector<FunctionKey, CounterNeed> &Counts,
                      CoverageData &Data) {
  LLVMContext &Ctx = M.getContext();
  bool LittleEndian = M.getDataLayout().isLittleEndian();
  if (GlobalVariable *GV = M.getGlobalVariable(CovmapName, true)) {
    if (!contents(*GV, Data.Covmap)) {
      error(Ctx, "cannot read " + Twine(CovmapName) + ": not plain data");
      return false;
    }
    Data.Covmap.resize((Data.Covmap.size() + 7) & ~size_t(7));
  }

  std::vector<std::string> Files = fileNames(Data.Covmap);
  DenseMap<uint64_t, std::string> NameOf = profileNames(M);
  std::vector<std::string> Names;
  for (GlobalVariable &GV : M.globals()) {
    if (!compat::startsWith(GV.getName(), CovrecPrefix))
      continue;
    FunctionKey Key;
    std::string Record;
    if (!recordKey(GV, Key) || !contents(GV, Record)) {
      error(Ctx, "cannot read mapping record " + GV.getName() + ": unknown layout");
      return false;
    }
    Record.resize((Record.size() + 7) & ~size_t(7));
    Data.Covfun += Record;
    auto Name = NameOf.find(Key.first);
    if (Name == NameOf.end()) {
      error(Ctx, "mapping record " + GV.getName() + " has no profile name");
      return false;
    }
    Names.push_back(Name->second);

    auto It = Counts.find(Key);
    if (It == Counts.end())
      continue; // a function that this unit declares and does not use
    FunctionCounters F;
    F.NameHash = Key.first;
    F.Hash = Key.second;
    F.Count = It->second.Count;
    F.F = It->second.F;
    F.Scope = F.F->getSubprogram();
    F.File = firstFile(Record, Files);
    Data.Functions.push_back(F);
  }
  if (!Names.empty())
    Data.Names = nameSection(Names, LittleEndian);
  return true;
}

void CoverageData::place() {
  for (FunctionCounters &F : Functions) {
    if (F.Fidelity == FidelityLine || F.Fidelity == FidelityOff)
      F.Count = 0;
    F.First = NumCounters;
    NumCounters += F.Count;
  }
}

void CoverageData::store(Module &M) const {
  LLVMContext &Ctx = M.getContext();
  NamedMDNode *Node = M.getOrInsertNamedMetadata(MetadataName);
  Node->clearOperands();
  auto Number = [&Ctx](uint64_t V) {
    return ConstantAsMetadata::get(ConstantInt::get(Type::getInt64Ty(Ctx), V));
  };
  Node->addOperand(MDNode::get(
      Ctx, {MDString::get(Ctx, Covmap), MDString::get(Ctx, Covfun), MDString::get(Ctx, Names)}));
  for (const FunctionCounters &F : Functions)
    Node->addOperand(MDNode::get(
        Ctx, {Number(F.NameHash), Number(F.Hash), Number(F.First), Number(F.Count),
              Number(F.Fidelity), Number(F.Flag), const_cast<DISubprogram *>(F.Scope)}));
}

bool CoverageData::load(const Module &M) {
  const NamedMDNode *Node = M.getNamedMetadata(MetadataName);
  if (!Node || Node->getNumOperands() == 0)
    return false;
  const MDNode *Head = Node->getOperand(0);
  Covmap = cast<MDString>(Head->getOperand(0))->getString().str();
  Covfun = cast<MDString>(Head->getOperand(1))->getString().str();
  Names = cast<MDString>(Head->getOperand(2))->getString().str();
  for (unsigned I = 1, E = Node->getNumOperands(); I < E; ++I) {
    const MDNode *N = Node->getOperand(I);
    auto Number = [N](unsigned Op) {
      return mdconst::extract<ConstantInt>(N->getOperand(Op))->getZExtValue();
    };
    FunctionCounters F;
    F.NameHash = Number(0);
    F.Hash = Number(1);
    F.First = static_cast<uint32_t>(Number(2));
    F.Count = static_cast<uint32_t>(Number(3));
    F.Fidelity = static_cast<uint8_t>(Number(4));
    F.Flag = N->getNumOperands() > 5 && Number(5) != 0;
    F.Scope = N->getNumOperands() > 6 ? dyn_cast_or_null<DISubprogram>(N->getOperand(6)) : nullptr;
    NumCounters = std::max(NumCounters, F.First + F.Count);
    Functions.push_back(F);
  }
  return true;
}

void CoverageData::erase(Module &M) {
  if (NamedMDNode *Node = M.getNamedMetadata(MetadataName))
    Node->eraseFromParent();
}

void removeFromUsedLists(Module &M, function_ref<bool(GlobalValue *)> Dead) {
  for (const char *Name : {"llvm.used", "llvm.compiler.used"}) {
    GlobalVariable *List = M.getGlobalVariable(Name);
    if (!List || !List->hasInitializer())
      continue;
    auto *Init = dyn_cast<ConstantArray>(List->getInitializer());
    if (!Init)
      continue;
    SmallVector<GlobalValue *, 16> Keep;
    for (Value *Op : Init->operands()) {
      auto *GV = dyn_cast<GlobalValue>(Op->stripPointerCasts());
      if (GV && !Dead(GV))
        Keep.push_back(GV);
    }
    if (Keep.size() == Init->getNumOperands())
      continue;
    bool Compiler = StringRef(Name) == "llvm.compiler.used";
    List->eraseFromParent();
    if (Keep.empty())
      continue;
    if (Compiler)
      appendToCompilerUsed(M, Keep);
    else
      appendToUsed(M, Keep);
  }
}

namespace {
bool isRuntimeFunction(StringRef Name) {
  return Name == "__llvm_profile_init" || Name == "__llvm_profile_runtime_user" ||
         Name == "__llvm_profile_register_functions" ||
         Name == "__llvm_profile_register_names_function";
}

bool isProfileVariable(StringRef Name) {
  for (const char *Prefix : {CovrecPrefix, ProfnPrefix, "__profc_", "__profd_", "__profvp_",
                             "__profbm_", "__llvm_profile_", "__llvm_prf_"})
    if (compat::startsWith(Name, Prefix))
      return true;
  return Name == CovmapName || Name == CoverageNames;
}

bool isProfileGlobal(GlobalValue *GV) {
  return isa<Function>(GV) ? isRuntimeFunction(GV->getName()) : isProfileVariable(GV->getName());
}

/// Takes __llvm_profile_init out of llvm.global_ctors (LLVM 14), and the list with it if it is
/// the only entry: the BPF back end cannot emit constructors at all.
void dropProfileCtors(Module &M) {
  GlobalVariable *Ctors = M.getGlobalVariable("llvm.global_ctors");
  if (!Ctors || !Ctors->hasInitializer())
    return;
  auto *Init = dyn_cast<ConstantArray>(Ctors->getInitializer());
  if (!Init)
    return;
  SmallVector<Constant *, 4> Keep;
  for (Value *Op : Init->operands()) {
    auto *Entry = cast<Constant>(Op);
    auto *F = dyn_cast_or_null<Function>(Entry->getAggregateElement(1u)->stripPointerCasts());
    if (!F || !isRuntimeFunction(F->getName()))
      Keep.push_back(Entry);
  }
  if (Keep.size() == Init->getNumOperands())
    return;
  if (!Keep.empty()) {
    ArrayType *AT = ArrayType::get(Init->getType()->getElementType(), Keep.size());
    auto *New = new GlobalVariable(M, AT, false, GlobalValue::AppendingLinkage,
                                   ConstantArray::get(AT, Keep), "");
    New->takeName(Ctors);
  }
  Ctors->eraseFromParent();
}
} // namespace

void stripProfileGlobals(Module &M) {
  dropProfileCtors(M);
  removeFromUsedLists(M, isProfileGlobal);

  SmallVector<GlobalValue *, 32> Dead;
  for (GlobalVariable &GV : M.globals())
    if (isProfileGlobal(&GV))
      Dead.push_back(&GV);
  for (Function &F : M)
    if (isProfileGlobal(&F))
      Dead.push_back(&F);
  // They may refer to one another, so let go of all initialisers and bodies first.
  for (GlobalValue *GV : Dead) {
    if (auto *F = dyn_cast<Function>(GV))
      F->deleteBody();
    else
      cast<GlobalVariable>(GV)->setInitializer(nullptr);
  }
  for (GlobalValue *GV : Dead) {
    GV->removeDeadConstantUsers();
    if (GV->use_empty())
      GV->eraseFromParent();
    else if (auto *Var = dyn_cast<GlobalVariable>(GV)) {
      // Something that is not clang's refers to it: keep the reference valid.
      Var->replaceAllUsesWith(UndefValue::get(Var->getType()));
      Var->eraseFromParent();
    }
  }
}

} // namespace bpfcov

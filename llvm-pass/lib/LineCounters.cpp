//===- LineCounters.cpp -----------------------------------------------------===//

#include "bpfcov/LineCounters.h"
#include "bpfcov/Calls.h"
#include "bpfcov/Compat.h"
#include "bpfcov/Layout.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/PostOrderIterator.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/IntrinsicInst.h"
#include <algorithm>
#include <map>
#include <set>

using namespace llvm;

namespace bpfcov {

namespace {
/// Whether I is code: what is left of it in the object runs.
bool isCode(const Instruction &I) {
  if (isa<PHINode>(I) || isa<AllocaInst>(I))
    return false;
  auto *II = dyn_cast<IntrinsicInst>(&I);
  return !II || !(II->isAssumeLikeIntrinsic() || isa<DbgInfoIntrinsic>(II));
}

/// One inlined copy of a function: where it is, and by which calls it came there.
using Copy = std::pair<const Function *, const DILocation *>;

class Finder {
public:
  Finder(const CoverageData &Data) : Data(Data) {
    for (uint32_t I = 0; I < Data.Functions.size(); ++I) {
      const FunctionCounters &F = Data.Functions[I];
      if (F.Fidelity == FidelityLine && F.Scope)
        Index[F.Scope] = I;
    }
  }

  void visit(Function &F);
  std::vector<FunctionLine> unsure() const;

  std::vector<LineSite> Sites;

private:
  void locate(const Instruction &I, std::set<FunctionLine> &Lines);
  void visitBlock(BasicBlock &BB, const DominatorTree &DT);
  void site(Instruction *Before, const std::set<FunctionLine> &Lines, std::set<FunctionLine> &Have);

  const CoverageData &Data;
  DenseMap<const DISubprogram *, uint32_t> Index;
  /// Lines that ran whenever a block did: those of its dominators and its own.
  DenseMap<const BasicBlock *, std::set<FunctionLine>> Implied;
  std::map<uint32_t, std::map<Copy, std::set<uint32_t>>> Copies;
  const Function *Container = nullptr;
};

/// Adds the lines that an instruction stands for.
void Finder::locate(const Instruction &I, std::set<FunctionLine> &Lines) {
  for (const DILocation *L = I.getDebugLoc().get(); L; L = L->getInlinedAt()) {
    const DISubprogram *Scope = L->getScope()->getSubprogram();
    auto It = Index.find(Scope);
    // Code of another file is text that was included into the body, and has no line of its own
    // here.
    if (It == Index.end() || L->getLine() == 0 || L->getScope()->getFile() != Scope->getFile())
      continue;
    Lines.insert({It->second, L->getLine()});
    Copies[It->second][{Container, L->getInlinedAt()}].insert(L->getLine());
  }
}

/// Asks for a counter, unless all that it would say is implied: a flag of a dominator has said it.
/// How often it ran is a different matter.
void Finder::site(Instruction *Before, const std::set<FunctionLine> &Lines,
                  std::set<FunctionLine> &Have) {
  LineSite S;
  S.Before = Before;
  for (const FunctionLine &L : Lines) {
    bool Flag = Data.Functions[L.first].Flag;
    if (Have.insert(L).second || !Flag)
      S.Lines.push_back(L);
    S.Flag = S.Flag && Flag;
  }
  if (!S.Lines.empty())
    Sites.push_back(std::move(S));
}

void Finder::visitBlock(BasicBlock &BB, const DominatorTree &DT) {
  std::set<FunctionLine> Have;
  if (auto *Node = DT.getNode(&BB))
    if (auto *IDom = Node->getIDom())
      Have = Implied[IDom->getBlock()];

  Instruction *Start = nullptr;
  std::set<FunctionLine> Lines;
  for (Instruction &I : BB) {
    if (!isCode(I))
      continue;
    if (!Start)
      Start = &I;
    locate(I, Lines);
    if (isTailCall(I)) {
      site(Start, Lines, Have);
      Start = nullptr;
      Lines.clear();
    }
  }
  if (Start)
    site(Start, Lines, Have);
  Implied[&BB] = std::move(Have);
}

void Finder::visit(Function &F) {
  if (F.isDeclaration() || Index.empty() || F.hasFnAttribute(Attribute::Naked))
    return;
  Container = &F;
  DominatorTree DT(F);
  Implied.clear();
  ReversePostOrderTraversal<Function *> Order(&F);
  for (BasicBlock *BB : Order)
    visitBlock(*BB, DT);
}

std::vector<FunctionLine> Finder::unsure() const {
  std::vector<FunctionLine> Out;
  for (auto &Function : Copies) {
    std::map<uint32_t, size_t> InCopies;
    for (auto &Copy : Function.second)
      for (uint32_t Line : Copy.second)
        ++InCopies[Line];
    for (auto &Line : InCopies)
      if (Line.second != Function.second.size())
        Out.push_back({Function.first, Line.first});
  }
  return Out;
}
} // namespace

std::vector<LineSite> findLineSites(Module &M, const CoverageData &Data,
                                    std::vector<FunctionLine> &Unsure) {
  Finder Find(Data);
  for (Function &F : M)
    Find.visit(F);
  Unsure = Find.unsure();
  return std::move(Find.Sites);
}

std::string lineTable(const std::vector<LineSite> &Sites, const std::vector<FunctionLine> &Unsure,
                      uint32_t First) {
  if (Sites.empty())
    return "";
  ByteWriter W(/*LittleEndian=*/true);
  auto Lines = [&W](const std::vector<FunctionLine> &List) {
    W.uleb(List.size());
    for (const FunctionLine &L : List) {
      W.uleb(L.first);
      W.uleb(L.second);
    }
  };
  W.uleb(Sites.size());
  for (size_t I = 0; I < Sites.size(); ++I) {
    W.uleb(I == 0 ? First : 1);
    Lines(Sites[I].Lines);
  }
  Lines(Unsure);
  return W.take();
}

} // namespace bpfcov

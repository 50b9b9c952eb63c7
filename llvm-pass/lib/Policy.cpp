//===- Policy.cpp -----------------------------------------------------------===//

#include "bpfcov/Policy.h"
#include "bpfcov/Compat.h"
#include "bpfcov/Diagnostics.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/Function.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/MemoryBuffer.h"
#include <fnmatch.h>

using namespace llvm;

namespace bpfcov {

namespace {
enum class CounterKind { Count, Flag };

// ZeroOrMore, so that an option of the user's wins over one that the wrapper put in front of it.
cl::opt<CounterKind> CounterOption(
    "bpfcov-counter", cl::desc("What a bpfcov counter holds"), cl::init(CounterKind::Count),
    cl::ZeroOrMore,
    cl::values(clEnumValN(CounterKind::Count, "atomic", "exact 64-bit count (atomic add)"),
               clEnumValN(CounterKind::Count, "count", "the same"),
               clEnumValN(CounterKind::Flag, "flag", "one byte that says reached")));

cl::opt<Fidelity> FidelityOption(
    "bpfcov-fidelity", cl::desc("How exactly bpfcov instruments"), cl::init(FidelityRegion),
    cl::ZeroOrMore,
    cl::values(clEnumValN(FidelityRegion, "region", "every region of the coverage mapping"),
               clEnumValN(FidelityProbe, "probe", "the optimiser may fold regions away"),
               clEnumValN(FidelityLine, "line", "lines of basic blocks after the optimiser"),
               clEnumValN(FidelityOff, "off", "not at all")));

cl::opt<std::string> PolicyOption("bpfcov-policy", cl::ZeroOrMore, cl::value_desc("file"),
                                  cl::desc("Fidelity and counter of functions, by name"));

bool parseFidelity(StringRef Word, Fidelity &Level) {
  static const char *const Words[] = {"region", "probe", "line", "off"};
  for (unsigned I = 0; I < 4; ++I)
    if (Word == Words[I]) {
      Level = static_cast<Fidelity>(I);
      return true;
    }
  return false;
}
} // namespace

bool Policy::parseLine(StringRef Line, Rule &R) const {
  SmallVector<StringRef, 4> Field;
  Line.split(Field, '\t');
  if (Field.size() != 4 || !parseFidelity(Field[0], R.Level))
    return false;
  if (Field[1] == "-")
    R.Counter = Rule::Default;
  else if (Field[1] == "atomic")
    R.Counter = Rule::Atomic;
  else if (Field[1] == "flag")
    R.Counter = Rule::Flag;
  else
    return false;
  R.File = Field[2].str();
  R.Function = Field[3].str();
  return true;
}

bool Policy::load(LLVMContext &Ctx) {
  Module.Level = FidelityOption;
  Module.Flag = CounterOption == CounterKind::Flag;
  if (PolicyOption.empty())
    return true;
  auto Buffer = MemoryBuffer::getFile(PolicyOption, /*IsText=*/true);
  if (!Buffer) {
    error(Ctx, "cannot read policy " + PolicyOption + ": " + Buffer.getError().message());
    return false;
  }
  SmallVector<StringRef, 16> Lines;
  (*Buffer)->getBuffer().split(Lines, '\n');
  for (unsigned I = 0; I < Lines.size(); ++I) {
    if (Lines[I].empty())
      continue;
    Rule R;
    if (!parseLine(Lines[I], R)) {
      error(Ctx, "policy " + PolicyOption + ", line " + Twine(I + 1) +
                     ": want fidelity, counter, file and function, with tabs between them");
      return false;
    }
    Rules.push_back(R);
  }
  return true;
}

Choice Policy::choose(const std::string &File, StringRef Function) const {
  for (const Rule &R : Rules) {
    if (fnmatch(R.Function.c_str(), Function.str().c_str(), 0) != 0 ||
        fnmatch(R.File.c_str(), File.c_str(), 0) != 0)
      continue;
    Choice C;
    C.Level = R.Level;
    C.Flag = R.Counter == Rule::Default ? Module.Flag : R.Counter == Rule::Flag;
    return C;
  }
  return Module;
}

void spread(MapVector<Function *, Choice> &Choices) {
  // What each function refers to: calls, callbacks, also through casts of either.
  DenseMap<Function *, SmallSetVector<Function *, 8>> Uses;
  for (auto &Entry : Choices)
    for (Instruction &I : instructions(*Entry.first))
      for (Value *Op : I.operands())
        if (auto *F = dyn_cast<Function>(Op->stripPointerCasts()))
          if (!F->isDeclaration() && F != Entry.first)
            Uses[Entry.first].insert(F);

  SmallVector<Function *, 16> Work;
  for (auto &Entry : Choices)
    Work.push_back(Entry.first);
  while (!Work.empty()) {
    Function *F = Work.pop_back_val();
    Choice From = Choices[F];
    for (Function *Callee : Uses[F]) {
      auto It = Choices.find(Callee);
      if (It == Choices.end())
        continue;
      Choice &To = It->second;
      Choice Low = To;
      Low.Level = std::max(To.Level, From.Level);
      Low.Flag = To.Flag || From.Flag;
      if (Low.Level == To.Level && Low.Flag == To.Flag)
        continue;
      To = Low;
      Work.push_back(Callee);
    }
  }
}

} // namespace bpfcov

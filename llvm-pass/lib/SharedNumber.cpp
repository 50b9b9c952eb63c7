//===- SharedNumber.cpp -----------------------------------------------------===//
//
// Which number several updates add that take it from one register.
//
//===------------------------------------------------------------------------===//

#include "bpfcov/Calls.h"
#include "bpfcov/UpdateEmitter.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/IR/Instructions.h"
#include <map>
#include <vector>

using namespace llvm;

namespace bpfcov {

/// Whether the result of a call, which is in the register of returns, is needed behind At.
static bool resultNeeded(const Instruction *At) {
  constexpr unsigned MaxBlocks = 32; // to look through
  const Instruction *I = At;
  for (unsigned Blocks = 0; Blocks < MaxBlocks;) {
    const BasicBlock *BB = I->getParent();
    I = I->getPrevNode();
    if (!I) {
      BB = BB->getSinglePredecessor();
      if (!BB)
        return false;
      I = BB->getTerminator();
      ++Blocks;
    }
    if (isRealCall(*I))
      return any_of(I->users(), [&](const User *U) {
        auto *UI = cast<Instruction>(U); // a comparison is part of its branch
        return isa<ICmpInst>(UI) || UI->getParent() != At->getParent() || !UI->comesBefore(At);
      });
  }
  return true;
}

/// Decides which number L holds: the constant that most of the program's own instructions behind it can take from there, so that the
/// updates add that, or 1. Where more return 0, that is loaded, too.
void UpdateEmitter::chooseNumber(RegisterLoad &L) {
  if (L.Updates.empty())
    return;
  bool Near = !L.OverCalls && !TooMany; // the register may be one that calls change
  bool Any = Near && AnyNumber && all_of(L.Updates, [&](const Update *U) {
               return !U->Members.empty() && !Flags.test(U->Index);
             });
  std::map<uint32_t, std::vector<Instruction *>> Users;
  for (Instruction *I : L.Constants) {
    if (!Near && !isa<StoreInst>(I))
      continue;
    if (returnsZero(*I))
      Users[0].push_back(I);
    for (uint32_t Number : ownNumbers(*I))
      if (Any || Number == 1)
        Users[Number].push_back(I);
  }
  // Another register for the result of a call is an instruction more.
  if (Near && resultNeeded(L.At))
    for (auto &Use : Users)
      if (count_if(Use.second, [](Instruction *I) { return I->isTerminator(); }) <= 2)
        erase_if(Use.second, [](Instruction *I) { return I->isTerminator(); });
  std::vector<Instruction *> Zeros = Users[0];
  Users.erase(0);
  for (const auto &Use : Users)
    if (Use.second.size() > Users[L.Number].size())
      L.Number = Use.first;
  std::vector<Instruction *> &Chosen = Users[L.Number];
  if (Zeros.size() > Chosen.size() + 1) {
    // Only one can be in the register of returns.
    erase_if(Chosen, [](Instruction *I) { return isa<ReturnInst>(I); });
    RegisterLoad *Zero = loadBefore(L.At);
    Zero->Number = 0;
    for (Instruction *I : Zeros)
      Taken.push_back({{I, 0}, Zero});
  }
  for (Update *U : L.Updates)
    U->Unit = L.Number;
  for (Instruction *I : Chosen)
    Taken.push_back({{I, L.Number}, &L});
}

} // namespace bpfcov

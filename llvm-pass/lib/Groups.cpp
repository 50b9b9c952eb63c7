//===- Groups.cpp -----------------------------------------------------------===//

#include "bpfcov/Groups.h"
#include "bpfcov/Calls.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/CFG.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/PatternMatch.h"
#include "llvm/Transforms/Utils/Local.h"
#include <algorithm>
#include <map>

using namespace llvm;
using namespace llvm::PatternMatch;

namespace bpfcov {

namespace {
/// Ways are followed through at most so many blocks, and from one update to at most so many others.
constexpr unsigned MaxBlocks = 512;
constexpr unsigned MaxOthers = 8;

/// All the ways of one function together.
constexpr unsigned MaxWork = 1 << 21;

/// The counters of one group.
constexpr unsigned MaxGroup = 256;

/// One update, with the counters that it stands for.
struct Site {
  Instruction *At;
  std::map<uint32_t, uint32_t> Members;
  bool Gone = false;
  bool Preload = false; ///< gone, and others that need the same registers follow without a call
};

class Grouper {
public:
  Grouper(Function &F, const UpdatePlan &Plan, const BitVector &Flags, uint32_t Limit);

  void run();

  std::vector<Site> Sites;

private:
  /// What matters in a block, in its order: the number of a site, or one of these.
  enum : unsigned { Leave = ~0u, Call = ~1u };
  using SiteSet = SmallSetVector<unsigned, 8>;

  bool joinWith(unsigned Number, bool Forward);
  bool nearest(unsigned Number, bool Forward, const SiteSet &Through, SiteSet &Found);
  bool comesFrom(unsigned Number, unsigned Start, bool Forward, const SiteSet &Others,
                 unsigned &Conflict);
  bool isFlag(const Site &S) const { return Flags.test(S.Members.begin()->first); }
  bool fits(const Site &S, const SiteSet &Others) const;
  template <typename VisitT> bool follow(unsigned Number, bool Forward, VisitT Visit);

  const BitVector &Flags;
  DenseMap<const BasicBlock *, SmallVector<unsigned, 4>> Events;
  DenseMap<const BasicBlock *, SmallVector<BasicBlock *, 4>> Preds;
  unsigned Work = 0;
  bool Calls = false; ///< there was a call on the ways followed last
};

Grouper::Grouper(Function &F, const UpdatePlan &Plan, const BitVector &Flags, uint32_t Limit)
    : Flags(Flags) {
  for (BasicBlock &BB : F) {
    SmallVector<unsigned, 4> &List = Events[&BB];
    for (Instruction &I : BB) {
      auto Planned = Plan.find(&I);
      if (Planned == Plan.end()) {
        if (mayLeave(I))
          List.push_back(Leave);
        else if (isRealCall(I))
          List.push_back(Call);
      } else if (Planned->second.Index < Limit && match(Planned->second.Step, m_One())) {
        List.push_back(Sites.size());
        Sites.push_back({&I, {{Planned->second.Index, 1}}});
      }
    }
    Preds[&BB].append(pred_begin(&BB), pred_end(&BB));
  }
}

/// Follows all ways from a site. Visit is called with the sites on them, and says whether the way ends there: 1
/// when it does, 0 when it goes on, -1 to give up. False when a way ends otherwise, or when it was given up.
template <typename VisitT> bool Grouper::follow(unsigned Number, bool Forward, VisitT Visit) {
  BasicBlock *First = Sites[Number].At->getParent();
  DenseSet<const BasicBlock *> Seen;
  SmallVector<BasicBlock *, 16> Todo;
  Calls = false;
  // Looks at a part of a block. True when the way goes on behind it.
  auto Scan = [&](auto Begin, auto End, bool &Bad) {
    for (auto It = Begin; It != End; ++It) {
      if (*It == Leave) {
        Bad = true;
        return false;
      }
      if (*It == Call) {
        Calls = true;
        continue;
      }
      if (Sites[*It].Gone)
        continue;
      int What = Visit(*It);
      Bad |= What < 0;
      if (What != 0)
        return false;
    }
    return true;
  };
  auto GoOn = [&](BasicBlock *BB) {
    unsigned Ways = 0;
    auto Add = [&](BasicBlock *Next) {
      ++Ways;
      if (Seen.insert(Next).second)
        Todo.push_back(Next);
    };
    if (Forward)
      for (BasicBlock *Next : successors(BB))
        Add(Next);
    else
      for (BasicBlock *Next : Preds[BB])
        Add(Next);
    return Ways > 0;
  };
  bool Bad = false;
  const auto &List = Events[First];
  bool On = Forward ? Scan(std::next(find(List, Number)), List.end(), Bad)
                    : Scan(std::next(std::find(List.rbegin(), List.rend(), Number)), List.rend(), Bad);
  if (Bad || (On && !GoOn(First)))
    return false;
  while (!Todo.empty()) {
    BasicBlock *BB = Todo.pop_back_val();
    if (Seen.size() > MaxBlocks || ++Work > MaxWork)
      return false;
    const auto &Here = Events[BB];
    On = Forward ? Scan(Here.begin(), Here.end(), Bad) : Scan(Here.rbegin(), Here.rend(), Bad);
    if (Bad || (On && !GoOn(BB)))
      return false;
  }
  return true;
}

/// Finds the sites that come next on every way, those of Through not taken for any.
bool Grouper::nearest(unsigned Number, bool Forward, const SiteSet &Through, SiteSet &Found) {
  return follow(Number, Forward, [&](unsigned Other) {
    if (Other == Number)
      return -1;
    if (Through.count(Other))
      return 0;
    Found.insert(Other);
    return Found.size() > MaxOthers ? -1 : 1;
  });
}

/// Whether all ways against the direction lead from Number to Start, and past none of Others. If it is one of
/// these that is in the way, Conflict is its number.
bool Grouper::comesFrom(unsigned Number, unsigned Start, bool Forward, const SiteSet &Others,
                       unsigned &Conflict) {
  return follow(Number, Forward, [&](unsigned Other) {
    if (Other == Start)
      return 1;
    if (!Others.count(Other))
      return 0;
    Conflict = Other;
    return -1;
  });
}

/// Whether all of Others can stand for S, too.
bool Grouper::fits(const Site &S, const SiteSet &Others) const {
  return all_of(Others, [&](unsigned N) {
    const Site &O = Sites[N];
    return isFlag(O) == isFlag(S) && O.Members.size() + S.Members.size() <= MaxGroup;
  });
}

void addGroup(const Site &S, Site &To) {
  for (const auto &Member : S.Members)
    To.Members[Member.first] += Member.second;
}

/// Takes a site away when each time that it runs exactly one of some others runs after it, or before it. These are
/// the nearest on every way; where one is passed twice before the site comes, it counts more often than the site, and
/// the ways are followed through it.
bool Grouper::joinWith(unsigned Number, bool Forward) {
  SiteSet Through;
  for (unsigned Try = 0; Try < MaxOthers; ++Try) {
    SiteSet Others;
    if (!nearest(Number, Forward, Through, Others) || Others.empty())
      return false;
    bool NoCall = !Calls;
    unsigned Conflict = ~0u;
    bool Good = all_of(Others, [&](unsigned Other) {
      return comesFrom(Other, Number, !Forward, Others, Conflict);
    });
    if (Good) {
      Site &S = Sites[Number];
      if (!fits(S, Others))
        return false;
      for (unsigned N : Others)
        addGroup(S, Sites[N]);
      S.Gone = true;
      S.Preload = Forward && NoCall && Others.size() > 1;
      return true;
    }
    if (Conflict == ~0u)
      return false;
    Through.insert(Conflict);
  }
  return false;
}

void Grouper::run() {
  for (unsigned N = Sites.size(); N-- > 0;)
    joinWith(N, /*Forward=*/false);
  for (unsigned N = Sites.size(); N-- > 0;)
    if (!Sites[N].Gone)
      joinWith(N, /*Forward=*/true);
}
} // namespace

/// The first instruction of BB that becomes code.
static Instruction &firstReal(BasicBlock &BB) {
  return *find_if(BB, [](Instruction &I) { return !isa<DbgInfoIntrinsic>(I) && !isa<PHINode>(I); });
}

/// The update of a site that BB always comes to its end behind, or null.
static Site *lastSite(BasicBlock &BB, const DenseMap<Instruction *, Site *> &Sites) {
  for (auto It = BB.rbegin(); It != BB.rend(); ++It) {
    if (Site *S = Sites.lookup(&*It))
      return S;
    if (mayLeave(*It))
      return nullptr;
  }
  return nullptr;
}

/// Lets blocks that count and then go to a block that counts count for that, too, and go on behind its update.
static void leadPast(Function &F, std::vector<Site> &All, const BitVector &Flags) {
  auto IsFlag = [&](const Site &S) { return Flags.test(S.Members.begin()->first); };
  if (All.size() > MaxUpdates)
    return;
  DominatorTree DT(F);
  DenseMap<Instruction *, Site *> Sites; // that are left
  for (Site &S : All)
    if (!S.Gone)
      Sites[S.At] = &S;
  // What comes first may count for what was made to count for others.
  for (Site &S : reverse(All)) {
    BasicBlock *BB = S.At->getParent();
    if (S.Gone || &firstReal(*BB) != S.At || isa<PHINode>(BB->front()) || !DT.isReachableFromEntry(BB))
      continue;
    SmallSetVector<BasicBlock *, 8> Preds(pred_begin(BB), pred_end(BB)), Past;
    for (BasicBlock *Pred : Preds) {
      auto *Branch = dyn_cast<BranchInst>(Pred->getTerminator());
      // What leads back would make a second entry into the loop.
      if (!Branch || !Branch->isUnconditional() || !DT.isReachableFromEntry(Pred) ||
          DT.dominates(BB, Pred))
        continue;
      Site *Last = lastSite(*Pred, Sites);
      if (Last && IsFlag(*Last) == IsFlag(S) && Last->Members.size() + S.Members.size() <= MaxGroup) {
        addGroup(S, *Last);
        Past.insert(Pred);
      }
    }
    if (Past.empty())
      continue;
    BasicBlock *Behind = BB->splitBasicBlock(std::next(S.At->getIterator()));
    for (BasicBlock *Pred : Past)
      Pred->getTerminator()->setSuccessor(0, Behind);
    if (pred_empty(BB))
      S.Gone = true;
  }
}

void groupUpdates(UpdatePlan &Plan, const BitVector &Flags, uint32_t Limit) {
  SmallSetVector<Function *, 16> Functions;
  for (auto &Entry : Plan)
    Functions.insert(Entry.first->getFunction());
  std::vector<Instruction *> Erased;
  for (Function *F : Functions) {
    Grouper G(*F, Plan, Flags, Limit);
    G.run();
    leadPast(*F, G.Sites, Flags);
    for (const Site &S : G.Sites) {
      if (S.Preload)
        Plan.find(S.At)->second.Step = nullptr;
      else if (S.Gone)
        Erased.push_back(S.At);
      else
        Plan.find(S.At)->second.Members = S.Members;
    }
  }
  DenseSet<Instruction *> Gone(Erased.begin(), Erased.end());
  Plan.remove_if([&](const auto &Entry) { return Gone.count(Entry.first); });
  SmallSetVector<BasicBlock *, 16> Blocks;
  for (Instruction *I : Erased) {
    Blocks.insert(I->getParent());
    I->eraseFromParent();
  }
  // The optimiser left some blocks only because they were counted.
  for (BasicBlock *BB : Blocks)
    if (BB != &BB->getParent()->getEntryBlock() && isa<BranchInst>(firstReal(*BB)) &&
        cast<BranchInst>(BB->getTerminator())->isUnconditional())
      TryToSimplifyUncondBranchFromEmptyBlock(BB);
}

std::vector<CounterGroup> numberGroups(UpdatePlan &Plan, uint32_t NumCounters) {
  std::vector<CounterGroup> Groups;
  std::map<CounterGroup, uint32_t> Numbers;
  for (auto &Entry : Plan) {
    Update &U = Entry.second;
    bool Alone = U.Members.size() == 1 && U.Members.begin()->second == 1;
    if (U.Members.empty() || (Alone && U.Unit == 1))
      continue;
    CounterGroup Group = {U.Members, U.Unit};
    auto Number = Numbers.insert({Group, NumCounters + Groups.size()});
    if (Number.second)
      Groups.push_back(Group);
    U.Index = Number.first->second;
  }
  return Groups;
}

} // namespace bpfcov

//===- UpdateEmitter.h - Counter updates as instructions --------------------===//
//
// An update is assembly, so that code generation neither merges two of them through a selected
// address (the kernel's translated code could not tell which of them the verifier kept), nor hoists
// the address of the counters and the number 1 out of it: left to itself it puts both into
// registers that survive calls, spills the program's own values for them, and a frame that was near
// the kernel's 512 bytes no longer fits.
//
//   $base = counters ll        once, as long as no call comes and the last use is near
//   $one = 1                   likewise, or a constant that the program needs, too (OwnNumber.h)
//   lock *(u64 *)($base + 40) += $one
//
// or for a flag *(u8 *)($base + 40) = 1, where the assembler knows it.
//
// A function that leaves a register free over its calls has the address for all of its code, and one that leaves
// two free also the number.
//
// The add is the one without fetch, which every kernel and architecture has, and leaves $one alone.
//
//===----------------------------------------------------------------------===//

#ifndef BPFCOV_UPDATEEMITTER_H
#define BPFCOV_UPDATEEMITTER_H

#include "bpfcov/OwnNumber.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"
#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

namespace llvm {
class DominatorTree;
class LoopInfo;
} // namespace llvm

namespace bpfcov {

/// A function of more updates than this is left as it comes: it is near the longest jumps that there are, and with shorter
/// updates clang could just emit some (the selftests' pyperf50) that the kernel, which makes code longer, must refuse.
constexpr unsigned MaxUpdates = 1024;

struct Update;

/// A register that is loaded with the address or a number before an instruction.
struct RegisterLoad {
  llvm::Instruction *At = nullptr;
  llvm::Instruction *Made = nullptr;

  // Of a number.
  uint32_t Number = 1;
  bool OverCalls = false;                          ///< it is needed behind a call, too
  std::vector<Update *> Updates = {};              ///< that add it
  std::vector<llvm::Instruction *> Constants = {}; ///< that could take a constant of theirs from it
};

/// Adds Step, an i64, to a counter. Without Step it is the place where the address is best loaded for others.
struct Update {
  uint32_t Index;
  llvm::Value *Step;
  std::map<uint32_t, uint32_t> Members; ///< of a group (Groups.h), or nothing
  uint32_t Unit = 1;                    ///< what is added in place of a Step of 1

  // Where it gets its registers from, see UpdateEmitter::place.
  RegisterLoad *Base = nullptr, *One = nullptr;
  OwnNumber Own;
};

/// Updates that are to be emitted, each by an instruction that stands in its place: blocks may still be split.
using UpdatePlan = llvm::MapVector<llvm::Instruction *, Update>;

/// Plans to add Step, an i64, to a counter where B stands.
void planUpdate(UpdatePlan &Plan, llvm::IRBuilder<> &B, uint32_t Index, llvm::Value *Step);

class UpdateEmitter {
public:
  /// Flags has a bit for each counter that is one byte. Baseline asks for plain loads and stores, AnyNumber allows updates to
  /// add other numbers than 1. All three must outlive this.
  UpdateEmitter(UpdatePlan &Plan, const llvm::BitVector &Flags, bool Baseline, bool AnyNumber)
      : Plan(Plan), Flags(Flags), Baseline(Baseline), AnyNumber(AnyNumber) {}

  /// Decides where each update gets its registers from, and by this what it adds: its Unit.
  void place();

  /// Emits what was placed, and empties the plan. The code must not have changed since.
  void emit(llvm::GlobalVariable *Counters, unsigned Width);

private:
  /// What registers hold at one place.
  struct Registers {
    RegisterLoad *Base = nullptr, *One = nullptr;
    unsigned Age = 0;       ///< instructions since an update used them
    bool OverCalls = false; ///< there may be a call behind the load of One
  };

  void place(llvm::Function &F);
  int place(llvm::Function &F, bool KeepOne, bool Share);
  void keep(llvm::Function &F, bool KeepOne);
  void walk(llvm::BasicBlock &BB, Registers &R);
  void loadForBranches(llvm::BasicBlock &BB, Registers &R);
  std::pair<bool, bool> needAhead(llvm::BasicBlock &From, llvm::BasicBlock &First,
                                  const Registers &R) const;
  void place(llvm::Instruction *At, Update &U, Registers &R);
  void chooseNumber(RegisterLoad &L);
  OwnNumber findOwn(llvm::Instruction *At, const Update &U, bool OverCalls) const;
  bool needsOne(const Update &U) const;
  RegisterLoad *loadBefore(llvm::Instruction *At);

  llvm::Instruction *load(llvm::IRBuilder<> &B, llvm::StringRef Asm, llvm::Constant *C);
  llvm::Value *base(RegisterLoad &L);
  llvm::Value *number(RegisterLoad &L);
  void emit(llvm::Instruction *At, const Update &U);
  void emitBaseline(llvm::IRBuilder<> &B, uint64_t Offset, llvm::Value *Step);

  UpdatePlan &Plan;
  const llvm::BitVector &Flags;
  bool Baseline, AnyNumber;
  std::deque<RegisterLoad> Loads;
  const llvm::DominatorTree *DT = nullptr; ///< of that function
  const llvm::LoopInfo *LI = nullptr;
  bool TooMany = false; ///< updates in it
  bool ShareOne = false; ///< Share, of the function that is being placed
  unsigned Spare = 0;    ///< registers that it leaves free over its calls
  Registers Kept;        ///< in all of it
  llvm::DenseMap<llvm::Instruction *, llvm::Instruction *> Later; ///< updates, by the User of their own number
  std::vector<llvm::Instruction *> Order;                         ///< in which to emit
  std::vector<std::pair<OwnNumber, RegisterLoad *>> Taken;        ///< constants to take from registers
  llvm::GlobalVariable *Counters = nullptr;
  unsigned Width = 8;
};

} // namespace bpfcov

#endif // BPFCOV_UPDATEEMITTER_H

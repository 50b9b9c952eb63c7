//===- UpdateEmitter.h - Counter updates as instructions --------------------===//
//
// An update is assembly, so that code generation neither merges two of them through a selected
// address (the kernel's translated code could not tell which of them the verifier kept), nor hoists
// the address of the counters and the number 1 out of it: left to itself it puts both into
// registers that survive calls, spills the program's own values for them, and a frame that was near
// the kernel's 512 bytes no longer fits.
//
//   $base = counters ll        once, as long as no call comes and the last use is near
//   $one = 1                   likewise
//   lock *(u64 *)($base + 40) += $one
//
// or for a flag *(u8 *)($base + 40) = 1, where the assembler knows it.
//
// A function that leaves registers free over its calls has both for all of its code.
//
// The add is the one without fetch, which every kernel and architecture has, and leaves $one alone.
//
//===----------------------------------------------------------------------===//

#ifndef BPFCOV_UPDATEEMITTER_H
#define BPFCOV_UPDATEEMITTER_H

#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"
#include <cstdint>

namespace bpfcov {

/// Adds Step, an i64, to a counter. Without Step it is the place where the registers are best loaded for others.
struct Update {
  uint32_t Index;
  llvm::Value *Step;
};

/// Updates that are to be emitted, each by an instruction that stands in its place: blocks may still be split.
using UpdatePlan = llvm::MapVector<llvm::Instruction *, Update>;

/// Plans to add Step, an i64, to a counter where B stands.
void planUpdate(UpdatePlan &Plan, llvm::IRBuilder<> &B, uint32_t Index, llvm::Value *Step);

class UpdateEmitter {
public:
  /// Flags has a bit for each counter that is one byte. Baseline asks for plain loads and stores.
  UpdateEmitter(llvm::GlobalVariable *Counters, unsigned Width, const llvm::BitVector &Flags,
                bool Baseline)
      : Counters(Counters), Width(Width), Flags(Flags), Baseline(Baseline) {}

  /// Emits what was planned. The control flow must not change any more.
  void emit(UpdatePlan Updates);

private:
  /// What registers hold at one place.
  struct Registers {
    llvm::Instruction *Base = nullptr, *One = nullptr;
    unsigned Age = 0; ///< instructions since an update used them
  };

  void emit(llvm::Function &F);
  void walk(llvm::BasicBlock &BB, Registers &R);
  bool emitWithOneLoad(llvm::Function &F);
  llvm::Instruction *loadBase(llvm::IRBuilder<> &B);
  llvm::Instruction *loadOne(llvm::IRBuilder<> &B);
  bool needsOne(const Update &U) const;
  void emit(llvm::Instruction *At, const Update &U, Registers &R);
  void emitBaseline(llvm::IRBuilder<> &B, uint64_t Offset, llvm::Value *Step);
  llvm::Instruction *load(llvm::IRBuilder<> &B, llvm::StringRef Asm, llvm::Constant *C);

  llvm::GlobalVariable *Counters;
  unsigned Width;
  const llvm::BitVector &Flags;
  bool Baseline;
  UpdatePlan Plan;
};

} // namespace bpfcov

#endif // BPFCOV_UPDATEEMITTER_H

//===- Clamp.h - Limits on values stay what they are without counters -------===//
//
// To an optimiser that meets no counter in it, "if (n > MAX) n = MAX;" is llvm.umin, and a verifier
// learns the bound of n from the comparison that it becomes. A marker keeps the branch. Its condition
// is then one as any other, which InstCombine may express by another value ("slot >= 32" by "v >= 64"
// where slot is made of v), and code generation may compare one extension of n and use another: the
// verifier learns nothing about n. So the limit becomes an intrinsic before the optimiser, and the
// condition the step of its marker, as clang does it for "n > MAX ? MAX : n".
//
// After the optimiser the counter asks whether the intrinsic changed its operand, not whether
// n > MAX. Of two comparisons of one register a verifier (6.1, with the constant on the left side)
// takes the impossible way, too, with bounds that cannot be; from that of two registers it concludes
// nothing.
//
//===----------------------------------------------------------------------===//

#ifndef BPFCOV_CLAMP_H
#define BPFCOV_CLAMP_H

#include "llvm/IR/Instructions.h"

namespace bpfcov {

/// If all that the block of Counted (an increment) does is to set a local variable to the constant
/// limit that it has gone over, makes a minimum or maximum of it: nothing leads to the block any more.
/// Returns the instruction before which to count, and sets Step to an i64 that is 1 when the block
/// would have run. Returns null and changes nothing otherwise. The code must be as clang emits it.
llvm::Instruction *liftClamp(llvm::Instruction &Counted, llvm::Value *&Step);

/// After the optimiser: returns a condition that is true when Cond is, asked of a minimum or maximum,
/// which is then before Marker. Returns null and changes nothing if none tells.
llvm::Value *clampChanged(llvm::Value *Cond, llvm::Instruction &Marker);

} // namespace bpfcov

#endif // BPFCOV_CLAMP_H

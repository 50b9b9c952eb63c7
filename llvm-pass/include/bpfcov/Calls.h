//===- Calls.h - What calls do to registers and to the flow -----------------===//

#ifndef BPFCOV_CALLS_H
#define BPFCOV_CALLS_H

#include "llvm/IR/InstrTypes.h"
#include "llvm/IR/Instruction.h"

namespace bpfcov {

/// Whether I gives the registers r0 to r5 to the kernel or to another function.
bool isRealCall(const llvm::Instruction &I);

/// The number of the kernel's helper that CB calls, or 0.
uint64_t helperNumber(const llvm::CallBase &CB);

/// Whether I calls bpf_tail_call, which comes back only when it fails.
bool isTailCall(const llvm::Instruction &I);

/// Whether the function, or the program, may end at I though control flow does not show it:
/// bpf_tail_call, bpf_throw, functions that may throw, unknown ones, and assembly that leaves.
bool mayLeave(const llvm::Instruction &I);

} // namespace bpfcov

#endif // BPFCOV_CALLS_H

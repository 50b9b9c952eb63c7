//===- Pressure.h - How many registers a function leaves free ---------------===//

#ifndef BPFCOV_PRESSURE_H
#define BPFCOV_PRESSURE_H

#include "llvm/IR/Function.h"

namespace bpfcov {

/// How many of the registers that survive calls F leaves free, as far as the IR tells: constants,
/// addresses of the frame and comparisons that only branch are taken to need none.
unsigned spareRegisters(llvm::Function &F);

} // namespace bpfcov

#endif // BPFCOV_PRESSURE_H

//===- Diagnostics.h - Errors that reach the user as the compiler's own -----===//

#ifndef BPFCOV_DIAGNOSTICS_H
#define BPFCOV_DIAGNOSTICS_H

#include "llvm/ADT/Twine.h"
#include "llvm/IR/LLVMContext.h"

namespace bpfcov {

/// Reports an error through LLVMContext::diagnose, which makes the compilation fail; the caller
/// must still leave valid IR.
inline void error(llvm::LLVMContext &Ctx, const llvm::Twine &Message) {
  Ctx.emitError("bpfcov: " + Message);
}

} // namespace bpfcov

#endif // BPFCOV_DIAGNOSTICS_H

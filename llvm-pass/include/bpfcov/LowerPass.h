//===- LowerPass.h - Turn the surviving markers into counter updates --------===//

#ifndef BPFCOV_LOWERPASS_H
#define BPFCOV_LOWERPASS_H

#include "llvm/IR/PassManager.h"

namespace bpfcov {

/// Runs at OptimizerLast: emits the counter block, the updates, and the mapping as sections that
/// are not loaded.
class LowerPass : public llvm::PassInfoMixin<LowerPass> {
public:
  explicit LowerPass(bool Baseline = false) : Baseline(Baseline) {}
  llvm::PreservedAnalyses run(llvm::Module &M, llvm::ModuleAnalysisManager &AM);
  static bool isRequired() { return true; }

private:
  bool Baseline; ///< plain updates, for comparisons
};

} // namespace bpfcov

#endif // BPFCOV_LOWERPASS_H

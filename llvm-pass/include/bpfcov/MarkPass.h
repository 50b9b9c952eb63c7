//===- MarkPass.h - Replace increments by markers, take the mapping out -----===//

#ifndef BPFCOV_MARKPASS_H
#define BPFCOV_MARKPASS_H

#include "llvm/IR/PassManager.h"
#include "llvm/Passes/OptimizationLevel.h"

namespace bpfcov {

/// Runs at PipelineStart, before clang's own lowering of llvm.instrprof.*, and leaves nothing for
/// it to find. Does nothing to modules for other targets than BPF.
class MarkPass : public llvm::PassInfoMixin<MarkPass> {
public:
  explicit MarkPass(bool Optimising = true, bool Baseline = false)
      : Optimising(Optimising), Baseline(Baseline) {}
  llvm::PreservedAnalyses run(llvm::Module &M, llvm::ModuleAnalysisManager &AM);
  static bool isRequired() { return true; }

private:
  bool Optimising; ///< false at -O0, whose BPF objects the kernel refuses
  bool Baseline;   ///< for bench/: code stays as clang emits it
};

} // namespace bpfcov

#endif // BPFCOV_MARKPASS_H

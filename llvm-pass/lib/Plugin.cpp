//===- Plugin.cpp - Registration --------------------------------------------===//
//
// clang -fplugin=bpfcov.so -fpass-plugin=bpfcov.so …     both: only then are -mllvm -bpfcov-…
//                                                        options known on every major
// opt -load-pass-plugin=bpfcov.so -passes=bpfcov-mark    for tests; also bpfcov-lower
//
//===----------------------------------------------------------------------===//

#include "bpfcov/Compat.h"
#include "bpfcov/LowerPass.h"
#include "bpfcov/MarkPass.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Transforms/IPO/GlobalDCE.h"

using namespace llvm;

// For bench/ only: what tools did before, counters that the optimiser sees from the start.
static cl::opt<bool> Baseline("bpfcov-baseline", cl::Hidden, cl::init(false),
                              cl::desc("Load, add and store counters before the optimiser"));

static void registerPasses(PassBuilder &PB) {
  PB.registerPipelineStartEPCallback([](ModulePassManager &MPM, OptimizationLevel Level) {
    MPM.addPass(bpfcov::MarkPass(Level != OptimizationLevel::O0, Baseline));
    if (Baseline && Level != OptimizationLevel::O0)
      MPM.addPass(bpfcov::LowerPass(/*Baseline=*/true));
  });
  bpfcov::compat::registerOptimizerLast(PB, [](ModulePassManager &MPM, OptimizationLevel Level) {
    if (Level == OptimizationLevel::O0)
      return; // MarkPass left nothing to lower
    // Bodies that were inlined everywhere would otherwise count as emitted updates.
    MPM.addPass(GlobalDCEPass());
    MPM.addPass(bpfcov::LowerPass());
  });
  PB.registerPipelineParsingCallback([](StringRef Name, ModulePassManager &MPM,
                                        ArrayRef<PassBuilder::PipelineElement>) {
    if (Name == "bpfcov-mark") {
      MPM.addPass(bpfcov::MarkPass());
      return true;
    }
    if (Name == "bpfcov-lower") {
      MPM.addPass(bpfcov::LowerPass());
      return true;
    }
    return false;
  });
}

extern "C" __attribute__((visibility("default"))) PassPluginLibraryInfo llvmGetPassPluginInfo() {
  return {LLVM_PLUGIN_API_VERSION, "bpfcov", LLVM_VERSION_STRING, registerPasses};
}

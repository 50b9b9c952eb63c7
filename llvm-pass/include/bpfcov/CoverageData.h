//===- CoverageData.h - What a module's counters mean -----------------------===//
//
// clang describes source-based coverage with IR constants: __llvm_coverage_mapping, one __covrec_*
// per function, __profn_* names and __llvm_coverage_names. This module takes them out of the IR,
// gives every mapped function its place in one array of counters, and carries the result through
// the optimiser as named metadata, which no pass touches.
//
//===----------------------------------------------------------------------===//

#ifndef BPFCOV_COVERAGEDATA_H
#define BPFCOV_COVERAGEDATA_H

#include "llvm/ADT/MapVector.h"
#include "llvm/IR/DebugInfoMetadata.h"
#include "llvm/IR/Module.h"
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace bpfcov {

/// How a function is instrumented: meta.Fidelity of the Go code.
enum Fidelity : uint8_t {
  FidelityRegion = 0,
  FidelityProbe = 1,
  FidelityLine = 2,
  FidelityOff = 3
};

/// One function of the mapping that this unit uses.
struct FunctionCounters {
  uint64_t NameHash = 0; ///< low 64 bits of the MD5 of the profile name
  uint64_t Hash = 0;     ///< clang's structural hash
  uint32_t First = 0;    ///< index of its first counter in the module's array
  uint32_t Count = 0;    ///< clang's counters; none at "line" and "off"
  uint8_t Fidelity = FidelityRegion;
  bool Flag = false;                           ///< counters say reached, and not how often
  const llvm::DISubprogram *Scope = nullptr;   ///< its code in debug information, if any
  llvm::Function *F = nullptr;                 ///< only before the optimiser
  std::string File;                            ///< as in the mapping; only before the optimiser
};

/// The coverage data of one module, already in the target's byte order.
struct CoverageData {
  std::string Covmap; ///< contents of section __llvm_covmap
  std::string Covfun; ///< contents of section __llvm_covfun, records padded to 8 bytes
  std::string Names;  ///< contents of section __llvm_prf_names, not compressed
  std::vector<FunctionCounters> Functions;
  uint32_t NumCounters = 0;
  std::string Lines;  ///< which counter is for which lines at "line", see Layout.h
  std::string Groups; ///< which counters stand for several others, see Layout.h

  /// Gives each function its counters.
  void place();

  /// Puts the data into, or gets it from, the named metadata !bpfcov.coverage. load returns false
  /// when the module has none.
  void store(llvm::Module &M) const;
  bool load(const llvm::Module &M);
  static void erase(llvm::Module &M);
};

/// (name hash, structural hash) of a function: how an increment and a mapping record are matched.
using FunctionKey = std::pair<uint64_t, uint64_t>;

/// What the increments of a function say about it.
struct CounterNeed {
  uint32_t Count = 0;
  llvm::Function *F = nullptr;
};

/// Reads the mapping constants of M. Counts has every function that has increments. Functions
/// without a mapping record (bodies in system headers) are left out: no region would read their
/// counters. The caller decides on fidelities and then calls CoverageData::place. Returns false
/// after a diagnostic when a constant does not look like clang's.
bool readCoverageData(llvm::Module &M, const llvm::MapVector<FunctionKey, CounterNeed> &Counts,
                      CoverageData &Data);

/// Removes the mapping constants and all that LLVM's profile runtime left in M: used-list entries
/// first, then the globals themselves.
void stripProfileGlobals(llvm::Module &M);

/// Drops Dead from llvm.used and llvm.compiler.used. Neither list may hold undef, so this comes
/// before deleting.
void removeFromUsedLists(llvm::Module &M, llvm::function_ref<bool(llvm::GlobalValue *)> Dead);

} // namespace bpfcov

#endif // BPFCOV_COVERAGEDATA_H

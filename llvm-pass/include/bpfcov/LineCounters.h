//===- LineCounters.h - Where "line" fidelity counts ------------------------===//
//
// At "line" fidelity nothing is in the optimiser's way. Afterwards each basic block gets a counter,
// and the debug locations of its instructions say which lines ran when it did: for code that was
// inlined, also the lines of the calls that led to it.
//
//===----------------------------------------------------------------------===//

#ifndef BPFCOV_LINECOUNTERS_H
#define BPFCOV_LINECOUNTERS_H

#include "bpfcov/CoverageData.h"
#include "llvm/IR/Instruction.h"
#include <utility>
#include <vector>

namespace bpfcov {

/// A line of a function: index in CoverageData::Functions, and the line in the function's file.
using FunctionLine = std::pair<uint32_t, uint32_t>;

/// A place that wants a counter.
struct LineSite {
  llvm::Instruction *Before; ///< where the update goes
  bool Flag = true;           ///< no function of these lines wants counts
  std::vector<FunctionLine> Lines;
};

/// Finds the places in all functions of M that have code of functions at "line" fidelity. Unsure
/// gets the lines that some inlined copy of a function has lost and another one has: that the
/// latter did not run says nothing about the former.
std::vector<LineSite> findLineSites(llvm::Module &M, const CoverageData &Data,
                                    std::vector<FunctionLine> &Unsure);

/// The line table of Layout.h. Counter First is for the first site, and so on.
std::string lineTable(const std::vector<LineSite> &Sites, const std::vector<FunctionLine> &Unsure,
                      uint32_t First);

} // namespace bpfcov

#endif // BPFCOV_LINECOUNTERS_H

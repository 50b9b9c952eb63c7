//===- Policy.h - How each function is to be instrumented -------------------===//
//
// -bpfcov-fidelity and -bpfcov-counter say what holds for a module, -bpfcov-policy names a file
// with exceptions, one a line, the first match wins:
//
//   fidelity TAB counter TAB file-glob TAB function-glob
//
// Fidelity is region, probe, line or off; counter is atomic, flag, or "-" for that of the module.
// Globs are fnmatch(3)'s without flags, so "*" also stands for "/". Files are named as in the
// coverage mapping, relative to the repository.
//
// A choice holds for what the function is made of: for all functions of the module that it calls or
// refers to as well, whether they are inlined or not. So one rule for a program is enough to take
// everything off it, and a function has one fidelity wherever it is inlined. The price is that a
// helper which two programs share takes the lower fidelity of both.
//
//===----------------------------------------------------------------------===//

#ifndef BPFCOV_POLICY_H
#define BPFCOV_POLICY_H

#include "bpfcov/CoverageData.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/IR/Module.h"
#include <string>
#include <vector>

namespace bpfcov {

/// How one function is instrumented.
struct Choice {
  Fidelity Level = FidelityRegion;
  bool Flag = false; ///< a byte that says reached, and not a count
};

class Policy {
public:
  /// Reads the options. False after a diagnostic.
  bool load(llvm::LLVMContext &Ctx);

  /// What the options and the file say of a function by itself. File is "" when it is not known.
  Choice choose(const std::string &File, llvm::StringRef Function) const;

private:
  struct Rule {
    Fidelity Level;
    enum { Default, Atomic, Flag } Counter;
    std::string File, Function;
  };
  bool parseLine(llvm::StringRef Line, Rule &R) const;

  Choice Module;
  std::vector<Rule> Rules;
};

/// Lowers the choice of each function to the lowest of those that refer to it.
void spread(llvm::MapVector<llvm::Function *, Choice> &Choices);

} // namespace bpfcov

#endif // BPFCOV_POLICY_H

//===- OwnNumber.h - A constant of the program's own as the number ----------===//
//
// An update adds a number that is in a register. Many a program holds one anyway: "return 1", the size of a helper's argument,
// "x = 1" before stores of constants. The update is then put in front of that instruction, which takes the constant
// from the register of the update. A counter that is added another number than 1 says so in its group (Layout.h).
//
//===----------------------------------------------------------------------===//

#ifndef BPFCOV_OWNNUMBER_H
#define BPFCOV_OWNNUMBER_H

#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/Instructions.h"
#include <cstdint>

namespace bpfcov {

/// A constant that User needs in a register.
struct OwnNumber {
  llvm::Instruction *User = nullptr;
  uint32_t Number = 0;
};

/// The constants that I needs in a register, and that may be the number of an update: 1 if there is one, else, with Any,
/// another one. A terminator also needs those that it hands to the phis of its successors. Number is 0 when there is none.
OwnNumber ownNumber(llvm::Instruction &I, bool Any);

/// All the constants that I needs in a register, and that may be the number of an update, each once.
llvm::SmallVector<uint32_t, 4> ownNumbers(llvm::Instruction &I);

/// Whether I returns a constant 0, which is the number of no update.
bool returnsZero(const llvm::Instruction &I);

/// Lets Own.User take its constant from Register, an i64.
void useRegister(const OwnNumber &Own, llvm::Value *Register);

} // namespace bpfcov

#endif // BPFCOV_OWNNUMBER_H

//===- BlockOrder.h - Branches that fall through ----------------------------===//

#ifndef BPFCOV_BLOCKORDER_H
#define BPFCOV_BLOCKORDER_H

#include "llvm/IR/Function.h"

namespace bpfcov {

/// Orders the blocks of F so that a branch falls through to one of those that it leads to. The back end keeps the order, and
/// does not turn branches: where neither comes next, a second jump follows the first.
void orderBlocks(llvm::Function &F);

} // namespace bpfcov

#endif // BPFCOV_BLOCKORDER_H

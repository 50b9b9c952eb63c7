//===- Returns.h - Blocks that count return by themselves -------------------===//

#ifndef BPFCOV_RETURNS_H
#define BPFCOV_RETURNS_H

#include "bpfcov/UpdateEmitter.h"

namespace bpfcov {

/// Without counters "if (x) return 1;" is a branch to the one return that the optimiser left. A block that counts
/// it makes of that branch one to the block, and a second one from there. Lets each block of Plan that only has to return
/// do that by itself. One that returns 0 because a lookup found nothing returns the null that it found, which is in the
/// register of returns already.
void returnAtOnce(const UpdatePlan &Plan);

} // namespace bpfcov

#endif // BPFCOV_RETURNS_H

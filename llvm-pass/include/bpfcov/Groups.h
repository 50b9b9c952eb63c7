//===- Groups.h - One update for several counters ---------------------------===//
//
// After the optimiser many counters count the same thing: the entry of an inlined function and the
// region of its call, a region and the rest of the block it ended up in, the bodies of an unrolled
// loop. And a region that always goes on in one of two others runs as often as both together. One
// update is enough for all that always happen together. It goes to a counter of its own, and a
// table (Layout.h) says for which counters that one stands, and how often for each.
//
// Where only some of the ways to an update count before, these count for both, and go on behind it.
//
// A counter of the mapping is then a sum of counters of the block. There are no differences in it,
// so what is known of the parts is known of the sum: it was counted exactly, and the verifier removed
// it when it removed all of them.
//
// What may end the program between two updates keeps them apart: bpf_tail_call, bpf_throw, functions
// that may do so, and the user's own assembly that leaves.
//
//===----------------------------------------------------------------------===//

#ifndef BPFCOV_GROUPS_H
#define BPFCOV_GROUPS_H

#include "bpfcov/UpdateEmitter.h"
#include "llvm/ADT/BitVector.h"
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

namespace bpfcov {

/// What one counter stands for.
struct CounterGroup {
  /// How often it counts for each of others. Of a flag it is how often the code ran when the flag is set once: nothing
  /// for the flag, and all for who asks what follows what.
  std::map<uint32_t, uint32_t> Members;
  uint32_t Unit = 1; ///< what is added to it each time

  bool operator<(const CounterGroup &O) const {
    return std::tie(Members, Unit) < std::tie(O.Members, O.Unit);
  }
};

/// Leaves one update of those that always happen together, and says in Plan what it stands for. Only updates by 1 of
/// counters less than Limit are looked at, and flags and counts are not mixed.
void groupUpdates(UpdatePlan &Plan, const llvm::BitVector &Flags, uint32_t Limit);

/// Gives the updates of Plan that stand for others, or that add another number than 1, counters of their own:
/// NumCounters + I for group I of those that are returned.
std::vector<CounterGroup> numberGroups(UpdatePlan &Plan, uint32_t NumCounters);

} // namespace bpfcov

#endif // BPFCOV_GROUPS_H

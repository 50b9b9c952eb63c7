//===- Layout.h - The counter block and the function table, byte for byte ---===//
//
// Both are read by Go code (collect, instrument/meta) and by nobody else. All numbers have the
// object's byte order.
//
// Counter block, at the start of section .data.bpfcov:
//    0  8  magic 'B' 'P' 'F' 'C' 'O' 'V' 0x1a 0x01
//    8  2  layout version (1)
//   10  2  counter width in bytes, 8 or 1
//   12  4  N, number of counters
//   16 16  object id
//   32  4  size of the block, header and padding included, a multiple of 8
//   36  4  0
//   40     N counters, zero-padded to 8
//
// A function whose counters are flags stores the byte 1, in a block of width 8 as the lowest byte
// of the counter: the number is then 1 as well. Width 1 is for blocks of nothing but flags.
//
// Function table, section __bpfcov_fun (not allocated):
//    0  8  magic 'B' 'P' 'F' 'C' 'O' 'V' 'F' 0x01
//    8  2  version (3)       10 2 counter width      12 4 N
//   16 16  object id
//   32  4  number of functions F
//   36  4  size of the block, a multiple of 8
//   40     F times: u64 name hash, u64 structural hash, u32 first, u32 count, u8 fidelity,
//          u8 kind of counter (0 count, 1 flag), 6 zeros
//   ..     ceil(N/8) bytes, bit i set when an update for counter i was emitted
//   ..     line table: u32 size in bytes, then ULEB128 numbers: how many counters are for lines,
//          and for each its index less that of the one before (of the first: its index), how many
//          lines and for each line the index of its function and the line in the function's first
//          file; then how many lines are unsure (some copy of their code lost them), and for each
//          the index of its function and the line
//   ..     group table: u32 size in bytes, then ULEB128 numbers: how many groups G, then for each what
//          is added to its counter each time, how many counters it is for, and for each of these its
//          index and how often it is meant. Counter N - G + i counts for those of group i, on top of
//          what they count themselves.
//   ..     zero-padded to 8
//
//===----------------------------------------------------------------------===//

#ifndef BPFCOV_LAYOUT_H
#define BPFCOV_LAYOUT_H

#include "bpfcov/CoverageData.h"
#include "bpfcov/Groups.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/BitVector.h"
#include <array>
#include <cstdint>
#include <string>

namespace bpfcov {

constexpr unsigned CounterHeaderSize = 40;
constexpr uint16_t LayoutVersion = 1; ///< of the counter block
constexpr uint16_t TableVersion = 4;

using ObjectID = std::array<uint8_t, 16>;

/// Appends numbers in the target's byte order.
class ByteWriter {
public:
  explicit ByteWriter(bool LittleEndian) : LittleEndian(LittleEndian) {}
  void number(uint64_t Value, unsigned Bytes);
  void bytes(llvm::StringRef S) { Out.append(S.begin(), S.end()); }
  void bytes(llvm::ArrayRef<uint8_t> B) { Out.append(B.begin(), B.end()); }
  void uleb(uint64_t Value);
  void pad(unsigned Multiple) { Out.resize((Out.size() + Multiple - 1) / Multiple * Multiple); }
  size_t size() const { return Out.size(); }
  std::string take() { return std::move(Out); }

private:
  bool LittleEndian;
  std::string Out;
};

/// The 40 bytes in front of the counters.
std::string counterHeader(const CoverageData &Data, unsigned Width, const ObjectID &ID,
                          bool LittleEndian);

/// Size in bytes of a whole block, a multiple of 8.
uint32_t counterBlockSize(uint32_t NumCounters, unsigned Width);

/// The contents of section __bpfcov_fun.
std::string functionTable(const CoverageData &Data, unsigned Width, const ObjectID &ID,
                          const llvm::BitVector &Emitted, bool LittleEndian);

/// The group table of the layout above. "" when there are none.
std::string groupTable(const std::vector<CounterGroup> &Groups);

/// Hashes everything that Data, the emitted updates and the object's programs say, and the
/// compiler's version: two objects with one id can share one sidecar file.
ObjectID objectID(const llvm::Module &M, const CoverageData &Data, unsigned Width,
                  const llvm::BitVector &Emitted);

/// Appends a section without flags, so without a symbol, a relocation or a place in the kernel.
void appendSection(llvm::Module &M, llvm::StringRef Name, llvm::StringRef Contents);

} // namespace bpfcov

#endif // BPFCOV_LAYOUT_H

//===- Layout.cpp -----------------------------------------------------------===//

#include "bpfcov/Layout.h"
#include "bpfcov/Compat.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/Function.h"
#include "llvm/Support/MD5.h"

using namespace llvm;

namespace bpfcov {

namespace {
constexpr uint8_t CounterMagic[8] = {'B', 'P', 'F', 'C', 'O', 'V', 0x1a, 0x01};
constexpr uint8_t TableMagic[8] = {'B', 'P', 'F', 'C', 'O', 'V', 'F', 0x01};
constexpr unsigned FunctionRecordSize = 32;

uint32_t alignTo8(uint32_t N) { return (N + 7) & ~7u; }

void functionRecords(ByteWriter &W, const CoverageData &Data) {
  for (const FunctionCounters &F : Data.Functions) {
    W.number(F.NameHash, 8);
    W.number(F.Hash, 8);
    W.number(F.First, 4);
    W.number(F.Count, 4);
    W.number(F.Fidelity, 1);
    W.number(F.Flag, 1);
    W.number(0, 6);
  }
}

std::string bitmap(const BitVector &Bits) {
  std::string Out((Bits.size() + 7) / 8, '\0');
  for (unsigned I : Bits.set_bits())
    Out[I / 8] |= static_cast<char>(1u << (I % 8));
  return Out;
}
} // namespace

void ByteWriter::number(uint64_t Value, unsigned Bytes) {
  for (unsigned I = 0; I < Bytes; ++I) {
    unsigned Shift = 8 * (LittleEndian ? I : Bytes - 1 - I);
    Out.push_back(static_cast<char>(Value >> Shift));
  }
}

void ByteWriter::uleb(uint64_t Value) {
  do {
    uint8_t Byte = Value & 0x7f;
    Value >>= 7;
    Out.push_back(static_cast<char>(Value ? Byte | 0x80 : Byte));
  } while (Value);
}

uint32_t counterBlockSize(uint32_t NumCounters, unsigned Width) {
  return CounterHeaderSize + alignTo8(NumCounters * Width);
}

std::string counterHeader(const CoverageData &Data, unsigned Width, const ObjectID &ID,
                          bool LittleEndian) {
  ByteWriter W(LittleEndian);
  W.bytes(ArrayRef<uint8_t>(CounterMagic));
  W.number(LayoutVersion, 2);
  W.number(Width, 2);
  W.number(Data.NumCounters, 4);
  W.bytes(ArrayRef<uint8_t>(ID.data(), ID.size()));
  W.number(counterBlockSize(Data.NumCounters, Width), 4);
  W.number(0, 4);
  return W.take();
}

std::string functionTable(const CoverageData &Data, unsigned Width, const ObjectID &ID,
                          const BitVector &Emitted, bool LittleEndian) {
  ByteWriter W(LittleEndian);
  W.bytes(ArrayRef<uint8_t>(TableMagic));
  W.number(TableVersion, 2);
  W.number(Width, 2);
  W.number(Data.NumCounters, 4);
  W.bytes(ArrayRef<uint8_t>(ID.data(), ID.size()));
  W.number(Data.Functions.size(), 4);
  uint32_t Bytes = (Data.NumCounters + 7) / 8 + 8 + Data.Lines.size() + Data.Groups.size();
  W.number(CounterHeaderSize + Data.Functions.size() * FunctionRecordSize + alignTo8(Bytes), 4);
  functionRecords(W, Data);
  W.bytes(bitmap(Emitted));
  W.number(Data.Lines.size(), 4);
  W.bytes(Data.Lines);
  W.number(Data.Groups.size(), 4);
  W.bytes(Data.Groups);
  W.pad(8);
  return W.take();
}

std::string groupTable(const std::vector<CounterGroup> &Groups) {
  if (Groups.empty())
    return "";
  ByteWriter W(/*LittleEndian=*/true);
  W.uleb(Groups.size());
  for (const CounterGroup &Group : Groups) {
    W.uleb(Group.Unit);
    W.uleb(Group.Members.size());
    for (const auto &Member : Group.Members) {
      W.uleb(Member.first);
      W.uleb(Member.second);
    }
  }
  return W.take();
}

ObjectID objectID(const Module &M, const CoverageData &Data, unsigned Width,
                  const BitVector &Emitted) {
  // Lengths go in front of everything, so that no two inputs share one byte string.
  ByteWriter W(/*LittleEndian=*/true);
  auto Text = [&W](StringRef S) {
    W.number(S.size(), 8);
    W.bytes(S);
  };
  Text("bpfcov object id 3");
  Text(LLVM_VERSION_STRING);
  W.number(M.getDataLayout().isLittleEndian(), 1);
  W.number(Width, 2);
  Text(Data.Covmap);
  Text(Data.Covfun);
  Text(Data.Names);
  W.number(Data.Functions.size(), 4);
  functionRecords(W, Data);
  W.number(Data.NumCounters, 4);
  Text(bitmap(Emitted));
  Text(Data.Lines);
  Text(Data.Groups);
  // The sidecar lists the programs, and their sections need not show in the mapping.
  for (const Function &F : M) {
    if (F.isDeclaration() || !F.hasSection())
      continue;
    Text(F.getName());
    Text(F.getSection());
  }

  MD5 Hash;
  Hash.update(W.take());
  MD5::MD5Result Result;
  Hash.final(Result);
  ObjectID ID;
  for (unsigned I = 0; I < ID.size(); ++I)
    ID[I] = Result[I];
  return ID;
}

void appendSection(Module &M, StringRef Name, StringRef Contents) {
  constexpr size_t BytesPerLine = 64;
  std::string Asm = "\t.pushsection " + Name.str() + ",\"\",@progbits\n\t.p2align 3\n";
  for (size_t Pos = 0; Pos < Contents.size(); Pos += BytesPerLine) {
    Asm += "\t.ascii \"";
    for (char C : Contents.substr(Pos, BytesPerLine)) {
      if (isAlnum(C)) {
        Asm += C;
        continue;
      }
      auto U = static_cast<uint8_t>(C);
      Asm += '\\';
      Asm += static_cast<char>('0' + (U >> 6));
      Asm += static_cast<char>('0' + ((U >> 3) & 7));
      Asm += static_cast<char>('0' + (U & 7));
    }
    Asm += "\"\n";
  }
  // Padding keeps blocks separable after a static linker concatenated them.
  Asm += "\t.p2align 3\n\t.popsection\n";
  M.appendModuleInlineAsm(Asm);
}

} // namespace bpfcov

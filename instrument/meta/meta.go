// Package meta describes one instrumented BPF object: what its counters mean.
//
// A [Meta] is made when the object is compiled, from sections of the ELF file that never enter the
// kernel. The compiler wrapper writes it next to no one's build output but into a folder of its own,
// as OBJECTID.meta, because skeletons, llvm-strip and static linking lose the sections.
//
// The package does not evaluate counters; see instrument/covmap and report/model.
package meta

import (
	"encoding/hex"
	"fmt"
)

// ObjectID identifies the meaning of an object's counters. It is a 128-bit hash, made at compile
// time, over the coverage mapping, the function table and the counter width.
type ObjectID [16]byte

// String returns the id as 32 lower-case hexadecimal digits.
func (id ObjectID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first 8 hexadecimal digits, for people.
func (id ObjectID) Short() string { return id.String()[:8] }

// IsZero reports whether the id is unset.
func (id ObjectID) IsZero() bool { return id == ObjectID{} }

// MarshalText implements [encoding.TextMarshaler].
func (id ObjectID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (id *ObjectID) UnmarshalText(b []byte) error {
	v, err := ParseObjectID(string(b))
	if err != nil {
		return err
	}
	*id = v
	return nil
}

// ParseObjectID is the inverse of [ObjectID.String].
func ParseObjectID(s string) (ObjectID, error) {
	var id ObjectID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("object id %q: want %d hexadecimal digits", s, 2*len(id))
	}
	copy(id[:], b)
	return id, nil
}

// Fidelity says how a function is instrumented.
type Fidelity uint8

// The rungs of the ladder, most exact first.
const (
	Region Fidelity = iota // every counter of LLVM's mapping, exact
	Probe                  // the optimiser may fold a region away
	Line                   // one counter per basic block after the optimiser
	Off                    // not instrumented
)

func (f Fidelity) String() string {
	switch f {
	case Region:
		return "region"
	case Probe:
		return "probe"
	case Line:
		return "line"
	case Off:
		return "off"
	}
	return fmt.Sprintf("fidelity(%d)", uint8(f))
}

// Func ties one function of the coverage mapping to its counters in the object's counter map.
type Func struct {
	// NameHash is the low 64 bits of the MD5 of the function's profile name, as in a
	// __llvm_covfun record (llvm/ProfileData/InstrProf.h, IndexedInstrProf::ComputeHash).
	NameHash uint64
	// Hash is clang's structural hash of the function body.
	Hash uint64
	// First is the index of the function's first counter, Count the number of them.
	// There are none at fidelities [Line] and [Off].
	First, Count uint32
	Fidelity     Fidelity
	// Flag is set when the counters say reached (1) and not how often.
	Flag bool
}

// Program is one BPF program of the object: a function in a section that loaders load from.
type Program struct {
	Name    string // ELF symbol, up to 15 characters of which are the kernel's program name
	Section string // for example "tracepoint/syscalls/sys_enter_openat"
}

// Meta is everything needed to turn the counters of one object into coverage.
type Meta struct {
	ObjectID ObjectID
	// BigEndian is the object's byte order, which Covmap and Covfun share.
	BigEndian bool
	// Clang is the compiler's version line, LLVM its major version.
	Clang string
	LLVM  int
	// Source is the main file as the mapping names it, usually relative to the repository.
	Source string
	// Object is the base name of the output file that the compiler was asked for.
	Object string
	// CounterWidth is the size of a counter in bytes: 8, or 1 when all are flags.
	CounterWidth int
	// NumCounters is the number of counters in the object's block.
	NumCounters int
	Functions   []Func
	// Emitted has one element a counter: false when no update for it survived the optimiser, so
	// that no kernel can ever count it (the compiler proved it unreachable, or the function is
	// not used).
	Emitted []bool
	// LineCounters are the counters of functions at fidelity [Line], by index. UnsureLines are lines
	// of which the optimiser dropped some copy: if no counter says that they ran, nobody knows.
	LineCounters []LineCounter
	UnsureLines  []FuncLine
	// Groups are what the last counters stand for, see [Group]. What a counter of a function counted is its own
	// count and those of the groups that it is in.
	Groups []Group
	// Programs are the object's programs in symbol order.
	Programs []Program
	// Covmap, Covfun and Names are the raw sections __llvm_covmap, __llvm_covfun and
	// __llvm_prf_names. See LLVM's docs/CoverageMappingFormat.rst.
	Covmap, Covfun, Names []byte
}

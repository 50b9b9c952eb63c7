package liveness

import "encoding/binary"

// Instruction classes, modes, sizes and operations, see Documentation/bpf/standardization/
// instruction-set.rst in the Linux tree.
const (
	classLD    = 0x00
	classLDX   = 0x01
	classST    = 0x02
	classSTX   = 0x03
	classALU   = 0x04
	classJMP   = 0x05
	classJMP32 = 0x06
	classALU64 = 0x07

	modeMask   = 0xe0
	modeMem    = 0x60
	modeAtomic = 0xc0

	sizeMask = 0x18
	sizeW    = 0x00
	sizeH    = 0x08
	sizeB    = 0x10
	sizeDW   = 0x18

	srcReg = 0x08 // the second operand is a register

	opAdd = 0x00
	opSub = 0x10
	opMov = 0xb0

	opJA   = 0x00
	opCall = 0x80
	opExit = 0x90

	ldImm64 = 0x18

	atomicFetch   = 0x01
	atomicCmpXchg = 0xf1
	atomicLoadAcq = 0x100
)

// PseudoMapFD to PseudoMapIdxValue are the source registers of a 64-bit immediate load that refers to a
// map: by descriptor (in a translated program: id) or by index into the load's descriptor array, to
// the map itself or to a byte of its first value.
const (
	PseudoMapFD       = 1
	PseudoMapValue    = 2
	PseudoMapIdx      = 5
	PseudoMapIdxValue = 6
)

// What a call calls, and that a 64-bit immediate load is the address of a function (include/uapi/linux/bpf.h).
const (
	pseudoCall      = 1
	pseudoKfuncCall = 2
	pseudoFunc      = 4
)

type insn struct {
	code     uint8
	dst, src uint8
	off      int16
	imm      int32
}

func decode(b []byte, order binary.ByteOrder) insn {
	i := insn{code: b[0], off: int16(order.Uint16(b[2:])), imm: int32(order.Uint32(b[4:]))}
	// The two register numbers are C bit fields, so that byte order swaps them.
	if order.Uint16([]byte{0, 1}) == 1 {
		i.dst, i.src = b[1]>>4, b[1]&15
	} else {
		i.dst, i.src = b[1]&15, b[1]>>4
	}
	return i
}

func (i insn) class() uint8 { return i.code & 7 }

func (i insn) size() int {
	switch i.code & sizeMask {
	case sizeB:
		return 1
	case sizeH:
		return 2
	case sizeW:
		return 4
	}
	return 8
}

// isJump reports whether control may go elsewhere than to the next instruction, and does not return.
func (i insn) isJump() bool {
	c := i.class()
	return (c == classJMP || c == classJMP32) && i.code&0xf0 != opCall
}

// successors returns where control goes from instruction pc: to fall (the next one) if fall >= 0, and to
// jump if jump >= 0. A computed goto has neither.
func (i insn) successors(pc int) (fall, jump int) {
	if !i.isJump() {
		return pc + 1, -1
	}
	switch i.code & 0xf0 {
	case opExit:
		return -1, -1
	case opJA:
		if i.code&srcReg != 0 {
			return -1, -1 // gotox
		}
		if i.class() == classJMP32 {
			return -1, pc + 1 + int(i.imm) // gotol
		}
		return -1, pc + 1 + int(i.off)
	}
	return pc + 1, pc + 1 + int(i.off)
}

func (i insn) isExit() bool { return i.isJump() && i.code&0xf0 == opExit }

// isTailCall reports whether i calls bpf_tail_call(), which comes back only when it fails. The kernel restores this
// form in the instructions that it shows (bpf_insn_prepare_dump).
func (i insn) isTailCall() bool {
	return i.isCall() && i.src == 0 && i.imm == helperTailCall
}

// isCall reports whether i calls something. A call of the helper that there is not stands where a loader could not relocate an
// instruction for this kernel (bpf_core_poison_insn in libbpf's relo_core.c; cilium/ebpf writes the same). What it replaced gave a
// value to one register at most, and no verifier accepts a program in which it can be reached.
func (i insn) isCall() bool {
	const poison = 0xbad2310
	c := i.class()
	return (c == classJMP || c == classJMP32) && i.code&0xf0 == opCall && !(i.src == 0 && i.imm == poison)
}

func (i insn) isComputedGoto() bool {
	return i.isJump() && i.code&0xf0 == opJA && i.code&srcReg != 0
}

// Ref is one 64-bit immediate load that refers to a map.
type Ref struct {
	// Index is that of the instruction.
	Index int
	// Pseudo is PseudoMapFD to PseudoMapIdxValue.
	Pseudo uint8
	// Imm is a descriptor, id or index, see Pseudo.
	Imm int32
	// Off is the offset into the value for PseudoMapValue and PseudoMapIdxValue.
	Off uint32
}

// Refs returns all references to maps in a program's instructions.
func Refs(insns []byte, order binary.ByteOrder) []Ref { return AppendRefs(nil, insns, order) }

// AppendRefs is [Refs] with the references appended to refs.
func AppendRefs(refs []Ref, insns []byte, order binary.ByteOrder) []Ref {
	for n := 0; n+16 <= len(insns); n += 8 {
		if insns[n] != ldImm64 {
			continue
		}
		i := decode(insns[n:], order)
		switch i.src {
		case PseudoMapFD, PseudoMapValue, PseudoMapIdx, PseudoMapIdxValue:
			refs = append(refs, Ref{Index: n / 8, Pseudo: i.src, Imm: i.imm, Off: order.Uint32(insns[n+12:])})
		}
		n += 8
	}
	return refs
}

package liveness

import (
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"
)

func TestSites(t *testing.T) {
	call := asm.FnGetPrandomU32.Call()
	up := func(off int64) asm.Instructions {
		return asm.Instructions{ptr(r1, uint32(off)), asm.Mov.Imm(r2, 1), add(r1, 0)}
	}
	site := func(off int64, exit bool, next ...uint32) Site {
		return Site{Access: at(off)[0], Next: next, Exit: exit}
	}
	first := func(s Site) Site {
		s.First = true
		return s
	}
	end := asm.Instructions{asm.Mov.Imm(r0, 0), asm.Return()}
	kfunc := func(id int64) asm.Instruction {
		return asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoKfuncCall, Constant: id}
	}
	const throw = 99
	address := asm.Instruction{OpCode: asm.LoadImmOp(dw), Dst: r2, Src: asm.PseudoFunc, Constant: -1}.WithReference("sub")
	label := func(p asm.Instructions, l string) asm.Instructions {
		p[0] = p[0].WithSymbol(l)
		return p
	}
	for name, c := range map[string]struct {
		parts []asm.Instructions
		want  []Site
	}{
		"straight": {[]asm.Instructions{up(40), up(48)}, []Site{first(site(40, false, 1)), site(48, true)}},
		"one side of a branch": {
			[]asm.Instructions{up(40), {call, asm.JEq.Imm(r0, 0, "end")}, up(48), label(up(56), "end")},
			[]Site{first(site(40, false, 1, 2)), site(48, false, 2), site(56, true)},
		},
		"a branch to the end": {
			[]asm.Instructions{up(40), {call, asm.JEq.Imm(r0, 0, "end")}, up(48), {asm.Mov.Imm(r3, 1).WithSymbol("end")}},
			[]Site{first(site(40, true, 1)), site(48, true)},
		},
		"loop": {
			[]asm.Instructions{label(up(40), "again"), up(48), {call, asm.JNE.Imm(r0, 0, "again")}},
			[]Site{first(site(40, false, 1)), site(48, true, 0)},
		},
		"tail call": {
			[]asm.Instructions{up(40), {asm.FnTailCall.Call()}, up(48)},
			[]Site{first(site(40, true, 1)), site(48, true)},
		},
		"subprogram": {
			[]asm.Instructions{up(40), {asm.Call.Label("sub")}, end, label(up(48), "sub")},
			[]Site{first(site(40, true)), first(site(48, true))},
		},
		"subprogram without updates before its branch": {
			[]asm.Instructions{up(40), {asm.Call.Label("sub")}, end, {call.WithSymbol("sub"), asm.JEq.Imm(r0, 0, "else")},
				up(48), {asm.Ja.Label("end")}, label(up(56), "else"), label(up(64), "end")},
			[]Site{first(site(40, true)), first(site(48, false, 3)), first(site(56, false, 3)), site(64, true)},
		},
		"function that nothing calls": {
			[]asm.Instructions{up(40), end, up(48), up(56)},
			[]Site{first(site(40, true)), first(site(48, false, 2)), site(56, true)},
		},
		"callback": {
			[]asm.Instructions{{address, call}, up(40), end, label(up(48), "sub")},
			[]Site{first(site(40, true)), first(site(48, true))},
		},
		"first in a loop": {
			[]asm.Instructions{{asm.Ja.Label("test")}, label(up(40), "again"), {call.WithSymbol("test"), asm.JNE.Imm(r0, 0, "again")}, up(48)},
			[]Site{first(site(40, false, 0, 1)), first(site(48, true))},
		},
		"kernel function": {
			[]asm.Instructions{up(40), {kfunc(98)}, up(48)},
			[]Site{first(site(40, false, 1)), site(48, true)},
		},
		"exception": {
			[]asm.Instructions{up(40), {kfunc(throw)}, up(48), {call}, up(56)},
			[]Site{first(site(40, true, 1)), site(48, false, 2), site(56, true)},
		},
		"exception out of a subprogram": {
			[]asm.Instructions{up(40), {asm.Call.Label("sub")}, up(48), end, {kfunc(throw).WithSymbol("sub")}},
			[]Site{first(site(40, true, 1)), site(48, true)},
		},
		"exception out of a callback": {
			[]asm.Instructions{{address}, up(40), {call}, up(48), end, {kfunc(throw).WithSymbol("sub")}},
			[]Site{first(site(40, true, 1)), site(48, true)},
		},
		"number that is not known": {
			[]asm.Instructions{{call, asm.Mov.Reg(r2, r0), ptr(r1, 40), add(r1, 0)}, up(48), {asm.Mov.Imm(r2, 0), add(r1, 8)}},
			[]Site{{Access: at(40)[0], First: true, Next: []uint32{1}, Any: true}, site(48, false, 2), {Access: at(56)[0], Exit: true, Any: true}},
		},
		"constant of the program": {
			[]asm.Instructions{up(40), {asm.Mov.Imm(r2, 2), add(r1, 0)}},
			[]Site{first(site(40, false, 1)), site(40, true)},
		},
		"one counter in two places": {
			[]asm.Instructions{{call, asm.JEq.Imm(r0, 0, "else")}, up(40), {asm.Ja.Label("end")}, label(up(40), "else"), label(up(48), "end")},
			[]Site{first(site(40, false, 2)), first(site(40, false, 2)), site(48, true)},
		},
	} {
		var prog asm.Instructions
		for _, p := range c.parts {
			prog = append(prog, p...)
		}
		prog = append(prog, asm.Mov.Imm(r0, 0), asm.Return())
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			insns := assemble(t, prog, order)
			throws := CallsKernel(insns, order, func(id int32) bool { return id == throw })
			got, err := Analyze(Program{Insns: insns, Order: order, Map: keys, Throws: throws})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if d := cmp.Diff(c.want, got.Sites); d != "" {
				t.Errorf("%s, %v: -want +got:\n%s", name, order, d)
			}
		}
	}
}

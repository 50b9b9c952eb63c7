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
		return asm.Instructions{ptr(r1, uint32(off)), add(r1, 0)}
	}
	site := func(off int64, exit bool, next ...uint32) Site {
		return Site{Access: at(off)[0], Next: next, Exit: exit}
	}
	label := func(p asm.Instructions, l string) asm.Instructions {
		p[0] = p[0].WithSymbol(l)
		return p
	}
	for name, c := range map[string]struct {
		parts []asm.Instructions
		want  []Site
	}{
		"straight": {[]asm.Instructions{up(40), up(48)}, []Site{site(40, false, 1), site(48, true)}},
		"one side of a branch": {
			[]asm.Instructions{up(40), {call, asm.JEq.Imm(r0, 0, "end")}, up(48), label(up(56), "end")},
			[]Site{site(40, false, 1, 2), site(48, false, 2), site(56, true)},
		},
		"a branch to the end": {
			[]asm.Instructions{up(40), {call, asm.JEq.Imm(r0, 0, "end")}, up(48), {asm.Mov.Imm(r3, 1).WithSymbol("end")}},
			[]Site{site(40, true, 1), site(48, true)},
		},
		"loop": {
			[]asm.Instructions{label(up(40), "again"), up(48), {call, asm.JNE.Imm(r0, 0, "again")}},
			[]Site{site(40, false, 1), site(48, true, 0)},
		},
		"tail call": {
			[]asm.Instructions{up(40), {asm.FnTailCall.Call()}, up(48)},
			[]Site{site(40, true, 1), site(48, true)},
		},
		"subprogram": {
			[]asm.Instructions{up(40), {asm.Call.Label("sub"), asm.Mov.Imm(r0, 0), asm.Return()}, label(up(48), "sub")},
			[]Site{site(40, true), site(48, true)},
		},
		"one counter in two places": {
			[]asm.Instructions{{call, asm.JEq.Imm(r0, 0, "else")}, up(40), {asm.Ja.Label("end")}, label(up(40), "else"), label(up(48), "end")},
			[]Site{site(40, false, 2), site(40, false, 2), site(48, true)},
		},
	} {
		var prog asm.Instructions
		for _, p := range c.parts {
			prog = append(prog, p...)
		}
		prog = append(prog, asm.Mov.Imm(r0, 0), asm.Return())
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			got, err := Analyze(Program{Insns: assemble(t, prog, order), Order: order, Map: keys})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if d := cmp.Diff(c.want, got.Sites); d != "" {
				t.Errorf("%s, %v: -want +got:\n%s", name, order, d)
			}
		}
	}
}

package liveness

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"
)

// The map of interest is behind descriptor 7, which is key 1; descriptor 8 is key 2; 9 is any other map.
func keys(r Ref) (uint32, bool) {
	switch r.Imm {
	case 7:
		return 1, true
	case 8:
		return 2, true
	}
	return 0, false
}

func assemble(t testing.TB, insns asm.Instructions, order binary.ByteOrder) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := insns.Marshal(&b, order); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// at is an 8-byte update in map 1.
func at(offs ...int64) []Access {
	var a []Access
	for _, o := range offs {
		a = append(a, Access{Map: 1, Off: o, Size: 8})
	}
	return a
}

func ptr(r asm.Register, off uint32) asm.Instruction { return asm.LoadMapValue(r, 7, off) }

func add(r asm.Register, off int16) asm.Instruction {
	return asm.AddAtomic.Mem(r, asm.R2, asm.DWord, off)
}

// atomic is op on r and r2. The assembler writes the operation only into Constant's place, and from it.
func atomic(op asm.AtomicOp, r asm.Register, off int16) asm.Instruction {
	i := op.Mem(r, asm.R2, asm.DWord, off)
	i.Constant = int64(op >> 8)
	return i
}

const (
	r0, r1, r2, r3, r6 = asm.R0, asm.R1, asm.R2, asm.R3, asm.R6
	dw                 = asm.DWord
)

func TestAnalyze(t *testing.T) {
	call := asm.FnGetPrandomU32.Call()
	branch := func(label string) asm.Instructions {
		return asm.Instructions{call, asm.JEq.Imm(r0, 0, label)}
	}
	concat := func(parts ...any) asm.Instructions {
		var p asm.Instructions
		for _, part := range parts {
			switch part := part.(type) {
			case asm.Instruction:
				p = append(p, part)
			case asm.Instructions:
				p = append(p, part...)
			}
		}
		return p
	}
	for name, c := range map[string]struct {
		prog asm.Instructions
		want Result
	}{
		"direct":         {concat(ptr(r1, 40), add(r1, 0)), Result{Updates: at(40)}},
		"offset in both": {concat(ptr(r1, 40), add(r1, 16)), Result{Updates: at(56)}},
		"plain store":    {concat(ptr(r1, 8), asm.StoreMem(r1, 0, r2, dw)), Result{Updates: at(8)}},
		"flag": {concat(ptr(r1, 43), asm.StoreImm(r1, 0, 1, asm.Byte)),
			Result{Updates: []Access{{Map: 1, Off: 43, Size: 1}}}},
		"only the address":                      {concat(ptr(r1, 40)), Result{}},
		"only a load":                           {concat(ptr(r1, 40), asm.LoadMem(r2, r1, 0, dw)), Result{}},
		"another map":                           {concat(asm.LoadMapValue(r1, 9, 40), add(r1, 0)), Result{}},
		"a second map":                          {concat(asm.LoadMapValue(r1, 8, 40), add(r1, 0)), Result{Updates: []Access{{Map: 2, Off: 40, Size: 8}}}},
		"the map itself":                        {concat(asm.LoadMapPtr(r1, 7), add(r1, 0)), Result{}},
		"mov":                                   {concat(ptr(r1, 40), asm.Mov.Reg(r3, r1), asm.Mov.Imm(r1, 0), add(r3, 0)), Result{Updates: at(40)}},
		"add an immediate":                      {concat(ptr(r1, 40), asm.Add.Imm(r1, 24), add(r1, 0)), Result{Updates: at(64)}},
		"sub an immediate":                      {concat(ptr(r1, 40), asm.Sub.Imm(r1, 8), add(r1, 0)), Result{Updates: at(32)}},
		"add a known":                           {concat(ptr(r1, 40), asm.Mov.Imm(r3, 8), asm.Add.Reg(r1, r3), add(r1, 0)), Result{Updates: at(48)}},
		"known plus address":                    {concat(ptr(r1, 40), asm.Mov.Imm(r3, 8), asm.Add.Reg(r3, r1), add(r3, 0)), Result{Updates: at(48)}},
		"add an unknown":                        {concat(call, ptr(r1, 40), asm.Add.Reg(r1, r0), add(r1, 0)), Result{Unknown: []uint32{1}}},
		"shifted":                               {concat(ptr(r1, 40), asm.LSh.Imm(r1, 1), add(r1, 0)), Result{Unknown: []uint32{1}}},
		"gone after a call":                     {concat(ptr(r1, 40), call, add(r1, 0)), Result{}},
		"kept over what could not be relocated": {concat(ptr(r1, 40), asm.BuiltinFunc(0xbad2310).Call(), add(r1, 0)), Result{Updates: at(40)}},
		"kept over a call":                      {concat(ptr(r6, 40), call, add(r6, 0)), Result{Updates: at(40)}},
		"stale at a call":                       {concat(ptr(r1, 40), add(r1, 0), call, asm.StoreMem(r0, 0, r2, dw)), Result{Updates: at(40)}},
		"fetch":                                 {concat(ptr(r1, 40), atomic(asm.FetchAdd, r1, 0), asm.StoreMem(r2, 0, r3, dw)), Result{Updates: at(40)}},
		"xchg takes what was there": {concat(ptr(r1, 40), ptr(r2, 48), atomic(asm.Xchg, asm.RFP, -8), add(r2, 0)),
			Result{Unknown: []uint32{1}}}, // the other address is in the slot, written in a way that is not followed
		"spilled": {concat(ptr(r1, 40), asm.StoreMem(asm.RFP, -16, r1, dw), call, asm.LoadMem(r3, asm.RFP, -16, dw), add(r3, 0)),
			Result{Updates: at(40)}},
		"spilled by another name": {concat(ptr(r1, 40), asm.Mov.Reg(r6, asm.RFP), asm.Add.Imm(r6, -24), asm.StoreMem(r6, 8, r1, dw),
			asm.LoadMem(r3, asm.RFP, -16, dw), add(r3, 8)), Result{Updates: at(48)}},
		"overwritten spill": {concat(ptr(r1, 40), asm.StoreMem(asm.RFP, -16, r1, dw), asm.StoreMem(asm.RFP, -16, r2, dw),
			asm.LoadMem(r3, asm.RFP, -16, dw), add(r3, 0)), Result{}},
		"half overwritten spill": {concat(ptr(r1, 40), asm.StoreMem(asm.RFP, -16, r1, dw), asm.StoreMem(asm.RFP, -12, r2, asm.Word),
			asm.LoadMem(r3, asm.RFP, -16, dw), add(r3, 0)), Result{Unknown: []uint32{1}}},
		"escaped, and a store to anywhere": {concat(call, ptr(r1, 40), asm.StoreMem(r0, 0, r1, dw)), Result{Unknown: []uint32{1}}},
		"two branches": {concat(branch("b"), ptr(r1, 40), add(r1, 0), asm.Ja.Label("end"), ptr(r1, 48).WithSymbol("b"), add(r1, 0),
			asm.Mov.Imm(r0, 0).WithSymbol("end")), Result{Updates: at(40, 48)}},
		"sunk into one": {concat(branch("b"), ptr(r1, 40), asm.Ja.Label("end"), ptr(r1, 48).WithSymbol("b"), add(r1, 0).WithSymbol("end")),
			Result{Maybe: at(40, 48)}},
		"sunk, and once for certain": {concat(branch("b"), ptr(r1, 40), add(r1, 0), asm.Ja.Label("end"), ptr(r1, 48).WithSymbol("b"), add(r1, 0).WithSymbol("end")),
			Result{Updates: at(40), Maybe: at(48)}},
		"hoisted base": {concat(ptr(r6, 40), branch("b"), add(r6, 0), asm.Ja.Label("end"), add(r6, 8).WithSymbol("b"),
			add(r6, 16).WithSymbol("end")), Result{Updates: at(40, 48, 56)}},
		"counter or something else": {concat(branch("b"), ptr(r0, 40), add(r0, 0).WithSymbol("b")), Result{Maybe: at(40)}},
		"short loop over addresses": {concat(ptr(r6, 40), add(r6, 0).WithSymbol("again"), asm.Add.Imm(r6, 8), call, asm.JNE.Imm(r0, 0, "again")),
			Result{Unknown: []uint32{1}}},
		"loop": {concat(ptr(r6, 40), asm.Mov.Imm(asm.R7, 0), add(r6, 0).WithSymbol("again"), asm.Add.Imm(asm.R7, 1),
			asm.JLT.Imm(asm.R7, 100, "again")), Result{Updates: at(40)}},
		"subprogram": {concat(asm.Call.Label("sub"), asm.Mov.Imm(r0, 0), asm.Return(), ptr(r1, 72).WithSymbol("sub"), add(r1, 0)),
			Result{Updates: at(72)}},
	} {
		c.prog = append(c.prog, asm.Mov.Imm(r0, 0), asm.Return())
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			got, err := Analyze(Program{Insns: assemble(t, c.prog, order), Order: order, Map: keys})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got.Sites = nil // see TestSites
			if d := cmp.Diff(&c.want, got); d != "" {
				t.Errorf("%s, %v: -want +got:\n%s", name, order, d)
			}
		}
	}
}

func TestRefs(t *testing.T) {
	prog := asm.Instructions{asm.Mov.Imm(r0, 0), ptr(r1, 40), asm.LoadMapPtr(r2, 9), asm.LoadImm(r3, 7, dw), asm.Return()}
	want := []Ref{{Index: 1, Pseudo: PseudoMapValue, Imm: 7, Off: 40}, {Index: 3, Pseudo: PseudoMapFD, Imm: 9}}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		b := assemble(t, prog, order)
		if d := cmp.Diff(want, Refs(b, order)); d != "" {
			t.Errorf("%v: -want +got:\n%s", order, d)
		}
		if got := Refs(b[:len(b)-24], order); len(got) != 2 {
			t.Errorf("%v, cut short: got %v", order, got)
		}
	}
}

func TestAnalyzeRefuses(t *testing.T) {
	for _, n := range []int{7, 9, 8*maxInsns + 8} {
		if _, err := Analyze(Program{Insns: make([]byte, n), Order: binary.LittleEndian, Map: keys}); err == nil {
			t.Errorf("%d bytes: got no error", n)
		}
	}
	for _, n := range []int{0, 8} { // nothing, and half of an immediate load
		b := make([]byte, n)
		if n > 0 {
			b[0], b[1] = 0x18, 0x20
		}
		got, err := Analyze(Program{Insns: b, Order: binary.LittleEndian, Map: keys})
		if err != nil || len(got.Updates)+len(got.Maybe)+len(got.Unknown) > 0 {
			t.Errorf("%d bytes: got %+v, %v", n, got, err)
		}
	}
}

// A program as long as the kernel takes, with a branch and an update every few instructions, must not
// take long: the test fails by the package's timeout if work grows faster than the program.
func TestAnalyzeLong(t *testing.T) {
	var unit []byte
	for _, i := range [][8]byte{
		{0x85, 0, 0, 0, 7},             // r0 = prandom()
		{0x15, 0x00, 4, 0, 0, 0, 0, 0}, // if r0 == 0 goto +4
		{0x18, 0x21, 0, 0, 7},          // r1 = map[7]+0
		{},                             //
		{0xb7, 0x02, 0, 0, 1},          // r2 = 1
		{0xdb, 0x21, 0, 0, 0},          // lock *(u64 *)(r1 + 0) += r2
		{0x15, 0x06, 0xf9, 0xff},       // if r6 == 0 goto -7, the call
	} {
		unit = append(unit, i[:]...)
	}
	const units = 140_000
	prog := make([]byte, 0, units*len(unit)+8)
	for i := range units {
		at := len(prog)
		prog = append(prog, unit...)
		binary.LittleEndian.PutUint32(prog[at+28:], uint32(8*i))
	}
	prog = append(prog, 0x95, 0, 0, 0, 0, 0, 0, 0)
	got, err := Analyze(Program{Insns: prog, Order: binary.LittleEndian, Map: keys})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Updates) != units || len(got.Maybe)+len(got.Unknown) != 0 {
		t.Errorf("got %d updates, %d maybe, unknown %v; want %d updates", len(got.Updates), len(got.Maybe), got.Unknown, units)
	}
}

// FuzzAnalyze feeds arbitrary instructions.
func FuzzAnalyze(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 4 {
		prog := asm.Instructions{ptr(r1, 40), add(r1, 0), asm.StoreMem(asm.RFP, -8, r1, dw), asm.FnGetPrandomU32.Call(),
			asm.JEq.Imm(r0, 0, "end"), asm.LoadMem(r3, asm.RFP, int16(-8*(1+r.IntN(2))), dw), add(r3, 0), asm.Mov.Imm(r0, 0).WithSymbol("end"), asm.Return()}
		f.Add(assemble(f, prog, binary.LittleEndian), false)
		f.Add(assemble(f, prog, binary.BigEndian), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, big bool) {
		if len(in) > 8*512 {
			return
		}
		var order binary.ByteOrder = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		Refs(in, order)
		throws := CallsKernel(in, order, func(id int32) bool { return id&1 == 0 })
		p := Program{Insns: in, Order: order, Map: keys, Throws: throws}
		got, err := Analyze(p)
		if err != nil {
			if len(in)%8 == 0 {
				t.Error(err)
			}
			return
		}
		again, err := Analyze(p)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(got, again); d != "" {
			t.Errorf("two analyses of one program: -first +second:\n%s", d)
		}
		// Every update comes after a first one.
		reached := make([]bool, len(got.Sites))
		var todo []uint32
		for i, s := range got.Sites {
			if s.First {
				todo = append(todo, uint32(i))
			}
		}
		for len(todo) > 0 {
			i := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if !reached[i] {
				reached[i] = true
				todo = append(todo, got.Sites[i].Next...)
			}
		}
		if slices.Contains(reached, false) {
			t.Errorf("sites that no path leads to: %v of %+v", reached, got.Sites)
		}
	})
}

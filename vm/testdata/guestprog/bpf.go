package main

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// bpf loads a program with one live and one dead counter, as an instrumented object has them, and runs it
// seven times.
func bpf() error {
	const header, counters = 40, 2
	value := make([]byte, header+8*counters)
	order := binary.NativeEndian
	copy(value, "BPFCOV\x1a\x01")
	order.PutUint16(value[8:], 1)
	order.PutUint16(value[10:], 8)
	order.PutUint32(value[12:], counters)
	copy(value[16:], "guestprog-object")
	order.PutUint32(value[32:], uint32(len(value)))
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: ".data.bpfcov", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(len(value)), MaxEntries: 1,
		Contents: []ebpf.MapKV{{Key: uint32(0), Value: value}},
	})
	if err != nil {
		return err
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SocketFilter, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMapValue(asm.R1, m.FD(), header),
		asm.Mov.Imm(asm.R2, 1),
		asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, 0),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	}})
	if err != nil {
		return err
	}
	if _, err := prog.Run(&ebpf.RunOptions{Data: make([]byte, 64), Repeat: 7}); err != nil {
		return err
	}
	fmt.Println("counted")
	return nil
}

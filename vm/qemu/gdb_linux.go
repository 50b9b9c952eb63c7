package qemu

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
)

// gdb speaks with QEMU's stub for GDB, in GDB's remote protocol (appendix E of its manual). It reaches what the monitor does not:
// to write a register. The stub reads a byte from a machine that runs as an order to stop it, so nothing is sent
// after detach; the acknowledgement of an answer may be left out.
type gdb struct {
	f *os.File
	r *bufio.Reader
}

// gdbLimit bounds one answer; QEMU's are up to 4 KiB.
const gdbLimit = 64 << 10

var errGDB = errors.New("QEMU's stub for GDB")

func newGDB(f *os.File) *gdb { return &gdb{f, bufio.NewReaderSize(f, 4096)} }

// do sends a packet and returns the answer to it.
func (g *gdb) do(packet string) (string, error) {
	var sum byte
	for _, c := range []byte(packet) {
		sum += c
	}
	if _, err := fmt.Fprintf(g.f, "$%s#%02x", packet, sum); err != nil {
		return "", fmt.Errorf("%w: %w", errGDB, err)
	}
	answer, err := g.packet()
	if err != nil {
		return "", fmt.Errorf("%w: %.20s: %w", errGDB, packet, err)
	}
	return answer, nil
}

func (g *gdb) packet() (string, error) {
	for { // acknowledgements
		c, err := g.r.ReadByte()
		if err != nil {
			return "", err
		}
		if c == '$' {
			break
		}
	}
	var b []byte
	for {
		c, err := g.r.ReadByte()
		switch {
		case err != nil:
			return "", err
		case c == '#':
			_, err := g.r.Discard(2) // the sum; nothing is lost on a socket
			return string(b), err
		case len(b) == gdbLimit:
			return "", fmt.Errorf("an answer of more than %d bytes", gdbLimit)
		}
		b = append(b, c)
	}
}

// order sends a packet that is to be answered with OK.
func (g *gdb) order(packet string) error {
	answer, err := g.do(packet)
	if err == nil && answer != "OK" {
		err = fmt.Errorf("%w: %.20s: got %.40q, want OK", errGDB, packet, answer)
	}
	return err
}

// rewrite reads a value by one packet and writes what it has read by another. It returns the bytes; none if there is no such value.
func (g *gdb) rewrite(read, write string) ([]byte, error) {
	answer, err := g.do(read)
	if err != nil {
		return nil, err
	}
	value, err := hex.DecodeString(answer)
	if err != nil || len(value) == 0 { // E and a number
		return nil, nil
	}
	return value, g.order(write + answer)
}

// detach lets the machine run, and the stub be.
func (g *gdb) detach() error { return g.order("D") }

// Control and status registers of RISC-V ("The RISC-V Instruction Set Manual", volume II), and where the machine virt of QEMU has the time
// compare registers of its harts (hw/riscv/virt.c, RISCV_ACLINT_DEFAULT_MTIMECMP).
const (
	csrSIE      = 0x104
	csrStimecmp = 0x14d
	csrMenvcfg  = 0x30a
	mtimecmp    = 0x2004000
)

// rearm writes the timers of a riscv64 machine that has been loaded and does not run yet, with what they are. QEMU, at least to
// version 10, saves and loads the time at which the timer of a hart is to fire, and then lets it not fire: it
// does not set its own timer, as it does when the guest writes the register (riscv_timer_write_timecmp in target/riscv/time_helper.c and
// riscv_aclint_mtimer_write_timecmp in hw/intc/riscv_aclint.c). A kernel that waits for it waits for ever.
func (g *gdb) rearm(cpus int) error {
	base, err := g.firstCSR()
	if err != nil {
		return err
	}
	for cpu := range cpus {
		if err := g.order(fmt.Sprintf("Hg%x", cpu+1)); err != nil {
			return err
		}
		// With the extension Sstc the kernel has a timer of its own, which counts from when the firmware has handed it on by the highest bit of
		// menvcfg.
		env, err := g.do(fmt.Sprintf("p%x", base+csrMenvcfg))
		if err != nil {
			return err
		}
		if b, err := hex.DecodeString(env); err == nil && len(b) == 8 && b[7]&0x80 != 0 {
			reg := fmt.Sprintf("%x", base+csrStimecmp)
			if value, err := g.rewrite("p"+reg, "P"+reg+"="); err != nil {
				return err
			} else if value == nil {
				return fmt.Errorf("%w: no register stimecmp in CPU %d", errGDB, cpu)
			}
		}
	}
	if err := g.order("Qqemu.PhyMemMode:1"); err != nil {
		return err
	}
	for cpu := range cpus {
		word := fmt.Sprintf("%x,8", mtimecmp+8*cpu)
		if value, err := g.rewrite("m"+word, "M"+word+":"); err != nil {
			return err
		} else if value == nil {
			return fmt.Errorf("%w: no register mtimecmp of CPU %d", errGDB, cpu)
		}
	}
	return g.order("Qqemu.PhyMemMode:0")
}

// firstCSR returns the number that QEMU has given to control and status register 0. The list of them that it offers leaves
// stimecmp out, which it can write all the same.
func (g *gdb) firstCSR() (int, error) {
	sie := regexp.MustCompile(`<reg name="sie"[^>]* regnum="(\d{1,6})"`)
	var list bytes.Buffer
	for list.Len() < gdbLimit {
		part, err := g.do(fmt.Sprintf("qXfer:features:read:riscv-csr.xml:%x,7f0", list.Len()))
		if err != nil {
			return 0, err
		}
		if len(part) < 2 || part[0] != 'm' && part[0] != 'l' {
			break
		}
		list.WriteString(part[1:])
		if m := sie.FindSubmatch(list.Bytes()); m != nil {
			n, err := strconv.Atoi(string(m[1]))
			return n - csrSIE, err
		}
		if part[0] == 'l' {
			break
		}
	}
	return 0, fmt.Errorf("%w: no control and status registers", errGDB)
}

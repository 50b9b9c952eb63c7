package qemu

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stub answers packets as QEMU's does, from a list: a packet that is not in it gets OK. It keeps what it was asked.
func stub(t *testing.T, answers map[string]string) (g *gdb, asked func() []string) {
	t.Helper()
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	var list []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		r := bufio.NewReader(theirs)
		for {
			line, err := r.ReadString('#')
			if err != nil {
				return
			}
			packet := strings.TrimSuffix(strings.TrimPrefix(line, "$"), "#")
			var sum byte
			for _, c := range []byte(packet) {
				sum += c
			}
			got := make([]byte, 2)
			if _, err := r.Read(got[:1]); err != nil {
				return
			}
			if _, err := r.Read(got[1:]); err != nil {
				return
			}
			if want := fmt.Sprintf("%02x", sum); string(got) != want {
				t.Errorf("%s: got sum %s, want %s", packet, got, want)
			}
			list = append(list, packet)
			answer, ok := answers[packet]
			if !ok {
				answer = "OK"
			}
			fmt.Fprintf(theirs, "+$%s#00", answer)
		}
	}()
	return newGDB(ours), func() []string {
		ours.Close()
		<-done
		return list
	}
}

// csrList1 asks for the first part of the list of registers.
const csrList1 = "qXfer:features:read:riscv-csr.xml:0,7f0"

func TestRearm(t *testing.T) {
	const part = `<feature><reg name="fcsr" bitsize="64" regnum="69`
	csrList2 := fmt.Sprintf("qXfer:features:read:riscv-csr.xml:%x,7f0", len(part))
	g, asked := stub(t, map[string]string{
		csrList1: "m" + part, csrList2: `l"/><reg name="sie" bitsize="64" regnum="326"/>`,
		"p34c": "f0000000000000c0", "p18f": "fbb3110200000000",
		"m2004000,8": "ffffffffffffffff", "m2004008,8": "0100000000000000",
	})
	if err := g.rearm(1); err != nil {
		t.Fatal(err)
	}
	if err := g.detach(); err != nil {
		t.Fatal(err)
	}
	want := []string{csrList1, csrList2, "Hg1", "p34c", "p18f", "P18f=fbb3110200000000", "Qqemu.PhyMemMode:1",
		"m2004000,8", "M2004000,8:ffffffffffffffff", "Qqemu.PhyMemMode:0", "D"}
	if diff := cmp.Diff(want, asked()); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
	// Without Sstc menvcfg may not be there (E14), or its highest bit is 0: the firmware's timers are all there is.
	g, asked = stub(t, map[string]string{
		csrList1: `l<reg name="sie" bitsize="64" regnum="326"/>`, "p34c": "E14",
		"m2004000,8": "ffffffffffffffff", "m2004008,8": "0100000000000000",
	})
	if err := g.rearm(2); err != nil {
		t.Fatal(err)
	}
	want = []string{csrList1, "Hg1", "p34c", "Hg2", "p34c", "Qqemu.PhyMemMode:1", "m2004000,8", "M2004000,8:ffffffffffffffff",
		"m2004008,8", "M2004008,8:0100000000000000", "Qqemu.PhyMemMode:0"}
	if diff := cmp.Diff(want, asked()); diff != "" {
		t.Errorf("packets without Sstc (-want +got):\n%s", diff)
	}
}

func TestRearmRefused(t *testing.T) {
	list := `l<reg name="sie" bitsize="64" regnum="326"/>`
	for _, tt := range []struct {
		answers map[string]string
		want    string
	}{
		{map[string]string{csrList1: "E00"}, "no control and status registers"},
		{map[string]string{csrList1: "l"}, "no control and status registers"},
		{map[string]string{csrList1: "m" + strings.Repeat("x", gdbLimit+1)}, "more than 65536 bytes"},
		{map[string]string{csrList1: list, "Hg1": "E22"}, `Hg1: got "E22", want OK`},
		{map[string]string{csrList1: list, "p34c": "f0000000000000c0", "p18f": "E14"}, "no register stimecmp in CPU 0"},
		{map[string]string{csrList1: list, "p34c": "E14", "Qqemu.PhyMemMode:1": ""}, `PhyMemMode:1: got "", want OK`},
		{map[string]string{csrList1: list, "p34c": "E14", "m2004000,8": "E14"}, "no register mtimecmp of CPU 0"},
		{map[string]string{csrList1: list, "p34c": "E14", "m2004000,8": "00", "M2004000,8:00": "E14"}, "want OK"},
	} {
		g, _ := stub(t, tt.answers)
		if err := g.rearm(1); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got error %v, want one with %q", err, tt.want)
		}
	}
	// QEMU that ends.
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs.Close()
	if err := newGDB(ours).rearm(1); err == nil || os.IsTimeout(err) {
		t.Errorf("closed: got error %v", err)
	}
}

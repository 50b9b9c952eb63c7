package vm

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/vm/kernels"
)

// A kernel from a build tree, as make leaves one: image, configuration, and modules where they were built.
func TestCellFromTree(t *testing.T) {
	long(t)
	c := cell(t, "apt:bookworm/6.1", "amd64", prog("counters", "bpf"))
	mods, err := c.Kernel.ModuleFiles("virtio_pci", "virtio_console", "dummy")
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	var order strings.Builder
	for _, m := range mods {
		built := strings.TrimPrefix(strings.TrimSuffix(strings.TrimSuffix(m.Path, ".xz"), ".zst"), "kernel/")
		write(t, filepath.Join(tree, built), m.Data, 0o644)
		fmt.Fprintf(&order, "%s\n", built)
	}
	write(t, filepath.Join(tree, "modules.order"), []byte(order.String()), 0o644)
	write(t, filepath.Join(tree, "include/generated/utsrelease.h"), fmt.Appendf(nil, "#define UTS_RELEASE %q\n", c.Kernel.Release), 0o644)
	for name, source := range map[string]string{"arch/x86/boot/bzImage": c.Kernel.Packed, ".config": c.Kernel.Config, "modules.builtin": filepath.Join(c.Kernel.Modules, "modules.builtin")} {
		b, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(tree, name), b, 0o644)
	}
	store := &kernels.Store{Dir: t.TempDir(), Log: t.Logf}
	want := c.Kernel.Release
	if c.Kernel, err = store.Pull(t.Context(), "build:"+tree, "amd64"); err != nil {
		t.Fatal(err)
	}
	c.Modules = []string{"dummy"}
	res := wantPassed(t, c, false)
	wantCounters(t, res.Records[0])
	if res.Cell.Kernel != want || res.Cell.Spec != "build:"+tree {
		t.Errorf("got cell %+v, want kernel %s", res.Cell, want)
	}
}

// A debugger can connect before the first instruction, and lets the guest go on.
func TestDebugger(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	c := cell(t, "apt:bookworm/6.1", "amd64", prog("output", "output"))
	m, err := PrepareInteractive(t.Context(), InteractiveConfig{Cell: c, GDB: port})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var console bytes.Buffer
	cmd := exec.CommandContext(ctx, m.Args[0], m.Args[1:]...)
	cmd.Stdout, cmd.Stderr = &console, &console
	stdin, err := cmd.StdinPipe() // at its end the console's keyboard would end too
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	var gdb net.Conn
	for gdb == nil {
		if gdb, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
			if ctx.Err() != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	defer gdb.Close()
	gdb.SetDeadline(time.Now().Add(time.Minute))
	// https://sourceware.org/gdb/current/onlinedocs/gdb.html/Packets.html
	send := func(packet string) {
		sum := byte(0)
		for i := range len(packet) {
			sum += packet[i]
		}
		if _, err := fmt.Fprintf(gdb, "$%s#%02x", packet, sum); err != nil {
			t.Fatal(err)
		}
	}
	send("?")
	reply, err := bufio.NewReader(gdb).ReadString('#')
	if err != nil || !strings.Contains(reply, "$T05") {
		t.Fatalf("asked why it stands: got %q, %v, want a trap (T05)", reply, err)
	}
	send("c")
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &console)
	}
	if !strings.Contains(console.String(), "to stdout") {
		t.Errorf("got %q, want what the guest's program printed", &console)
	}
	if !strings.Contains(strings.Join(m.Args, " "), " nokaslr ") {
		t.Errorf("got %q, want nokaslr", m.Args)
	}
}

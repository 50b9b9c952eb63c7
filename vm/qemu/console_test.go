package qemu

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConsoleIsBounded(t *testing.T) {
	for _, size := range []int{0, 1, half - 1, half, half + 1, 2*half - 1, 2 * half, 2*half + 1, 5*half + 7} {
		name := filepath.Join(t.TempDir(), "console.log")
		c, err := newConsole(name)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, uint64(size)))
		text := make([]byte, size)
		for i := range text {
			text[i] = byte('a' + rng.IntN(26))
		}
		for rest := text; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(300_000))
			c.Write(rest[:n])
			rest = rest[n:]
		}
		tail := c.text()
		if !bytes.Equal(tail, text[max(0, size-half):]) {
			t.Errorf("%d bytes: the tail of %d bytes is not the end of the console", size, len(tail))
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if size <= ConsoleLimit {
			if !bytes.Equal(got, text) {
				t.Errorf("%d bytes: got a file of %d bytes, want the whole console", size, len(got))
			}
			continue
		}
		if !bytes.HasPrefix(got, text[:half]) || !bytes.HasSuffix(got, text[size-half:]) ||
			!strings.Contains(string(got), "bytes of console left out") || len(got) > ConsoleLimit+100 {
			t.Errorf("%d bytes: got a file of %d bytes, want head, note and tail", size, len(got))
		}
	}
}

func TestTailWriter(t *testing.T) {
	var w tailWriter
	for range 100 {
		w.Write(make([]byte, 1000))
	}
	w.Write([]byte("end"))
	if got := w.String(); len(got) > tailSize || !strings.HasSuffix(got, "end") {
		t.Errorf("got %d bytes, want at most %d with the end", len(got), tailSize)
	}
}

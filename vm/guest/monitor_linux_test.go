package guest

import (
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMonitorThread(t *testing.T) {
	tid := monitorThread()
	if tid <= os.Getpid() {
		t.Fatalf("got %d, want a thread that process %d started", tid, os.Getpid())
	}
	if err := unix.Tgkill(os.Getpid(), tid, 0); err != nil {
		t.Errorf("thread %d: %v", tid, err)
	}
}

func TestLowestThread(t *testing.T) {
	entry := func(size int, name string) string {
		b := make([]byte, 19, size)
		binary.NativeEndian.PutUint16(b[16:], uint16(size))
		return string(append(b, name...)[:size])
	}
	all := entry(24, ".") + entry(24, "..") + entry(24, "1") + entry(24, "77") + entry(24, "9") + entry(24, "x")
	for in, want := range map[string]int{all: 9, all[:24*4]: 77, all[:24*3]: 0, "": 0, all[:24*4+20]: 77, entry(24, "5")[:23]: 0, string(make([]byte, 64)): 0} {
		if got := lowestThread([]byte(in), 1); got != want {
			t.Errorf("%q: got %d, want %d", in, got, want)
		}
	}
}

//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package notify

import (
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestWire(t *testing.T) {
	for _, want := range []*order{
		{Path: "/bin/true", Args: []string{"true"}, Env: []string{}},
		{
			Path: "/x", Traced: true, Args: []string{"x", "", "a b"}, Env: []string{"A=b", "C="}, Chroot: "/root", Dir: "/d", Pdeathsig: 9,
			Credential: &syscall.Credential{Uid: 1, Gid: 1<<32 - 1, Groups: []uint32{4, 5}, NoSetGroups: true},
			Ambient:    []uintptr{39}, Memlock: &unix.Rlimit{Cur: 1, Max: unix.RLIM_INFINITY},
		},
	} {
		b := want.encode()
		got, err := decodeOrder(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error("(-want +got)\n" + d)
		}
		for n := range b {
			if _, err := decodeOrder(b[:n]); err == nil {
				t.Errorf("cut to %d of %d bytes: got no error", n, len(b))
			}
		}
	}
	want := &refusal{Stage: "exec", Text: "no such file", Errno: 2}
	got, err := decodeRefusal(want.encode())
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
}

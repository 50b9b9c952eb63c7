package bpfsys

import (
	"os"
	"testing"

	"github.com/cilium/ebpf/btf"
)

func TestFindFunc(t *testing.T) {
	raw, err := os.ReadFile(kernelBTF)
	if err != nil {
		t.Skip(err)
	}
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"schedule", "bpf_prog_load", "vfs_read"} {
		var f *btf.Func
		if err := spec.TypeByName(name, &f); err != nil {
			t.Fatal(err)
		}
		want, err := spec.TypeID(f)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := findFunc(raw, name); err != nil || got != int32(want) {
			t.Errorf("%s: got %d, %v, want %d", name, got, err, want)
		}
	}
	for _, name := range []string{"", "task_struct", "no_such_function"} { // nothing, a type, and neither
		if got, err := findFunc(raw, name); err != nil || got != 0 {
			t.Errorf("%q: got %d, %v, want 0", name, got, err)
		}
	}
}

// FuzzFindFunc looks for a function in what a kernel never has.
func FuzzFindFunc(f *testing.F) {
	if raw, err := os.ReadFile(kernelBTF); err == nil {
		f.Add(raw[:1<<12])
	}
	f.Add([]byte("\x9f\xeb\x01\x00\x18\x00\x00\x00\x00\x00\x00\x00\x0c\x00\x00\x00\x0c\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0c\x01\x00\x00\x00\x00ab\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := findFunc(b, "ab")
		if id < 0 || id > 0 && err != nil {
			t.Errorf("got %d, %v", id, err)
		}
	})
}

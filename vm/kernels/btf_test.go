package kernels

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// testBTF has two functions, of which one is marked.
func testBTF(t testing.TB) []byte {
	t.Helper()
	proto := &btf.FuncProto{Return: &btf.Void{}}
	b, err := btf.NewBuilder([]btf.Type{
		&btf.Func{Name: "bpf_strnstr", Type: proto, Linkage: btf.StaticFunc, Tags: []string{"bpf_kfunc"}},
		&btf.Func{Name: "other", Type: proto, Linkage: btf.StaticFunc, Tags: []string{"something"}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, btf.KernelMarshalOptions())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestReadTypes(t *testing.T) {
	raw := testBTF(t)
	for _, tc := range []struct {
		name  string
		image []byte
		want  *Types
		err   bool
	}{
		{"vmlinux", testELF(elf.EM_X86_64, map[string][]byte{".BTF": raw}, nil), &Types{len(raw), 1}, false},
		{"without", testELF(elf.EM_X86_64, map[string][]byte{".text": raw}, nil), &Types{}, false},
		{"broken", testELF(elf.EM_X86_64, map[string][]byte{".BTF": raw[:len(raw)-8]}, nil), nil, true},
		{"bzImage", testBz(t), nil, false},
		{"not a kernel", []byte("hello"), nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			k := &Kernel{Release: "6.1", Dir: dir, Image: filepath.Join(dir, "vmlinux")}
			if err := os.WriteFile(k.Image, tc.image, 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := k.ReadTypes()
			if (err != nil) != tc.err || (got == nil) != (tc.want == nil) || got != nil && *got != *tc.want {
				t.Fatalf("got %+v, %v, want %+v", got, err, tc.want)
			}
			if got == nil {
				return
			}
			if err := os.Remove(k.Image); err != nil {
				t.Fatal(err)
			}
			if again, err := k.ReadTypes(); err != nil || *again != *got {
				t.Errorf("the second time: got %+v, %v", again, err)
			}
		})
	}
}

// TestFindBTF finds type information in a flat image, behind something that only begins like it.
func TestFindBTF(t *testing.T) {
	head := []byte{0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 16, 0, 8, 0, 0, 0} // 1 MiB of types, 8 of strings
	want := append(bytes.Clone(head), make([]byte, 1<<20+8)...)
	img := make([]byte, 5000)
	copy(img[56:], "ARM\x64")
	copy(img[1000:], head[:12])
	img = append(append(img, want...), "rest"...)
	got, plain := findBTF(img)
	if !plain || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v, want %d", len(got), plain, len(want))
	}
	if got, plain = findBTF(img[:len(img)-20]); !plain || got != nil {
		t.Errorf("cut short: got %d bytes, %v", len(got), plain)
	}
}

func FuzzBTF(f *testing.F) {
	raw := testBTF(f)
	f.Add(raw)
	f.Add(testELF(elf.EM_X86_64, map[string][]byte{".BTF": raw}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if raw, _ := findBTF(b); raw != nil {
			b = raw
		}
		_, _ = countKfuncs(b)
	})
}

package covmap

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The fixtures are testdata/t.bpf.c, compiled in testdata by
//
//	clang-19 -target bpfel -O2 -c -fprofile-instr-generate -fcoverage-mapping \
//	    -fcoverage-compilation-dir=. t.bpf.c -o t.o
//	llvm-objcopy-19 --strip-all --only-section=__llvm_covmap --only-section=__llvm_covfun \
//	    --only-section=__llvm_prf_names t.o clang19-bpfel.elf
//
// and the same with -target bpfeb; with -fcoverage-mcdc; with -mllvm -enable-name-compression=false
// (plain); with clang-22; and with clang-14 for x86-64. The llvm tests of report/lcov compare
// with llvm-cov; these keep working without LLVM.

var update = flag.Bool("update", false, "rewrite the goldens")

func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.elf")
	if err != nil || len(files) < 5 {
		t.Fatalf("got %d fixtures, %v; want at least 5", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			m, err := Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := Dump(&got, m); err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(path, ".elf") + ".txt"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got.String(), string(want)); diff != "" {
				t.Errorf("-got +want:\n%s", diff)
			}
		})
	}
}

// Both byte orders of one compiler say the same, and compressed names say the same as plain ones.
func TestFixturesAgree(t *testing.T) {
	decode := func(name string) *Mapping {
		data, err := os.ReadFile(filepath.Join("testdata", name+".elf"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return m
	}
	want := decode("clang19-bpfel")
	for _, name := range []string{"clang19-bpfeb", "clang19-plain"} {
		if diff := cmp.Diff(decode(name), want); diff != "" {
			t.Errorf("%s: -got +want:\n%s", name, diff)
		}
	}
}

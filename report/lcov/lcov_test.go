package lcov_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/report/lcov"
)

func sample() []lcov.File {
	return []lcov.File{
		{Path: "src/a.bpf.c",
			Functions: []lcov.Function{{Name: "prog", Line: 3, Count: 7}, {Name: "helper", Line: 9}},
			Lines:     []lcov.Line{{Line: 3, Count: 7}, {Line: 4, Count: 0}, {Line: 9, Count: math.MaxUint64}},
			Branches: []lcov.Branch{
				{Line: 4, True: 3, False: 0},
				{Line: 4},
				{Line: 4, True: 1, False: 2, OmitTrue: true},
				{Line: 4, OmitTrue: true, OmitFalse: true},
				{Line: 9, True: 1, False: 1},
			}},
		{Path: "inc/b.h", Lines: []lcov.Line{{Line: 1, Count: 1}}},
		{Path: "empty.h"},
	}
}

const sampleText = `SF:src/a.bpf.c
FN:3,prog
FN:9,helper
FNDA:7,prog
FNDA:0,helper
FNF:2
FNH:1
DA:3,7
DA:4,0
DA:9,18446744073709551615
BRDA:4,0,0,3
BRDA:4,0,1,0
BRDA:4,1,2,-
BRDA:4,1,3,-
BRDA:4,2,5,2
BRDA:9,0,0,1
BRDA:9,0,1,1
BRF:7
BRH:4
LF:3
LH:2
end_of_record
SF:inc/b.h
FNF:0
FNH:0
DA:1,1
BRF:0
BRH:0
LF:1
LH:1
end_of_record
SF:empty.h
FNF:0
FNH:0
BRF:0
BRH:0
LF:0
LH:0
end_of_record
`

func TestWrite(t *testing.T) {
	var got bytes.Buffer
	if err := lcov.Write(&got, sample(), lcov.Options{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got.String(), sampleText); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
	got.Reset()
	if err := lcov.Write(&got, sample(), lcov.Options{TestName: "6.1.0-37/amd64 é"}); err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(sampleText, "SF:", "TN:6_1_0_37_amd64__\nSF:")
	if diff := cmp.Diff(got.String(), want); diff != "" {
		t.Errorf("with a test name: -got +want:\n%s", diff)
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, tt := range []struct {
		file lcov.File
		want string
	}{
		{lcov.File{}, `path ""`},
		{lcov.File{Path: "a\nend_of_record"}, "line break"},
		{lcov.File{Path: "a", Functions: []lcov.Function{{Name: "", Line: 1}}}, `function name ""`},
		{lcov.File{Path: "a", Functions: []lcov.Function{{Name: "f\r", Line: 1}}}, "line break"},
		{lcov.File{Path: "a", Functions: []lcov.Function{{Name: "f"}}}, "function f starts at line 0"},
		{lcov.File{Path: "a", Lines: []lcov.Line{{Line: -1}}}, "a: line -1"},
		{lcov.File{Path: "a", Branches: []lcov.Branch{{Line: 0}}}, "branch at line 0"},
		{lcov.File{Path: "a", Branches: []lcov.Branch{{Line: 1}, {Line: 2}, {Line: 1}}}, "branches of line 1 are not together"},
	} {
		err := lcov.Write(new(bytes.Buffer), []lcov.File{tt.file}, lcov.Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.file, err, tt.want)
		}
	}
}

type full struct{}

var errFull = errors.New("disk full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteError(t *testing.T) {
	if err := lcov.Write(full{}, sample(), lcov.Options{}); !errors.Is(err, errFull) {
		t.Errorf("got %v, want %v", err, errFull)
	}
}

// TestGenhtml shows a tracefile of a real object, and one with every special case, to the strictest
// reader that is installed, without --ignore-errors.
func TestGenhtml(t *testing.T) {
	genhtml, err := exec.LookPath("genhtml")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI needs lcov:", err)
		}
		t.Skip("lcov is not installed:", err)
	}
	dir := t.TempDir()
	source, err := os.ReadFile("../../instrument/covmap/testdata/t.bpf.c")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("t.bpf.c", source)
	lines := []byte(strings.Repeat("int x;\n", 12))
	for _, name := range []string{"src/a.bpf.c", "inc/b.h", "empty.h"} {
		write(name, lines)
	}

	f, err := os.Open("../../instrument/covmap/testdata/clang19-bpfel.elf")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := covmap.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.Evaluate(covmap.Counts(func(f *covmap.Function) []uint64 {
		v := make([]uint64, f.NumCounters)
		for i := range v {
			v[i] = uint64(10 - i)
		}
		return v
	}))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		files []lcov.File
		want  []string
	}{
		// 24 lines, 18 sides of branches and 3 functions are what Totals says of them.
		"object": {lcov.FromCoverage(c), []string{"of 24 lines", "of 3 functions", "of 18 branches"}},
		// What a kernel removed leaves holes in the numbers of branches.
		"sample": {sample(), []string{"of 4 lines", "of 2 functions", "of 7 branches"}},
	} {
		var text bytes.Buffer
		if err := lcov.Write(&text, tt.files, lcov.Options{TestName: "cell"}); err != nil {
			t.Fatal(err)
		}
		write(name+".info", text.Bytes())
		cmd := exec.Command(genhtml, "--branch-coverage", "--output-directory", name+".html", name+".info")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: genhtml: %v\n%s", name, err, out)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: genhtml's summary has no %q:\n%s", name, want, out)
			}
		}
		if s := strings.ToLower(string(out)); strings.Contains(s, "warning") || strings.Contains(s, "error") {
			t.Errorf("%s: genhtml complains:\n%s", name, out)
		}
	}
}

package instrument

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

const policyText = `version: 1
functions:
  - {function: prog, file: "bpf/*.c", fidelity: line, counter: flag}
  - {function: prog, fidelity: probe}
  - {function: other, fidelity: "off"}
`

// TestChoices checks that policy and environment reach each function, and that objects do not depend on the folder.
func TestChoices(t *testing.T) {
	needClang(t)
	t.Setenv("BPFCOV_META_DIR", "") // not into the user's
	type choice struct {
		fidelity meta.Fidelity
		flag     bool
	}
	build := func(source string, env map[string]string) (map[string]choice, string) {
		t.Helper()
		dir := writeTree(t, map[string]string{
			".git/HEAD":           "",
			"bpfcov.policy.yaml":  policyText,
			"none.policy.yaml":    "version: 1\n",
			"bpf/prog.c":          strings.Replace(program, "int *ctx", "volatile int *ctx", 1),
			"bpf/h.h":             "static inline int helper(int a) { return a > 7 ? a + 1 : 2; }\n",
			"bpf/deep/er/other.c": "__attribute__((section(\"xdp\"), used)) int other(int *a) { return *a > 3; }\n",
		})
		for k, v := range env {
			t.Setenv(k, strings.ReplaceAll(v, "DIR", dir))
			defer os.Unsetenv(k)
		}
		got := call(t, dir, "", wrapper(t), "-O2", "-g", "-target", "bpf", "-c", source, "-o", "out.o")
		if got.Code != 0 {
			t.Fatalf("%s: %s", source, got.Stderr)
		}
		data, err := os.ReadFile(filepath.Join(dir, "out.o"))
		if err != nil {
			t.Fatal(err)
		}
		metas, err := meta.FromELF(strings.NewReader(string(data)), meta.Build{})
		if err != nil || len(metas) != 1 {
			t.Fatalf("%d metas, %v", len(metas), err)
		}
		mapping, err := covmap.DecodeSections(metas[0].Covmap, metas[0].Covfun, metas[0].Names, binary.LittleEndian)
		if err != nil {
			t.Fatal(err)
		}
		choices := map[string]choice{}
		for _, f := range mapping.Functions {
			for _, x := range metas[0].Functions {
				if x.NameHash == f.NameHash {
					choices[strings.TrimPrefix(f.SourceName(), "prog.c:")] = choice{x.Fidelity, x.Flag}
				}
			}
		}
		return choices, string(metas[0].ObjectID[:])
	}
	var ids []string
	for _, tt := range []struct {
		source string
		env    map[string]string
		want   map[string]choice
	}{
		// The helper is part of the program, so it goes along.
		{"bpf/prog.c", nil, map[string]choice{"prog": {meta.Line, true}, "helper": {meta.Line, true}}},
		{"bpf/prog.c", nil, map[string]choice{"prog": {meta.Line, true}, "helper": {meta.Line, true}}},
		{"bpf/deep/er/other.c", nil, map[string]choice{"other": {meta.Off, false}}},
		{"bpf/prog.c", map[string]string{"BPFCOV_POLICY": "none"}, map[string]choice{"prog": {}, "helper": {}}},
		{"bpf/prog.c", map[string]string{"BPFCOV_POLICY": "DIR/none.policy.yaml", "BPFCOV_FIDELITY": "probe", "BPFCOV_COUNTER": "flag"},
			map[string]choice{"prog": {meta.Probe, true}, "helper": {meta.Probe, true}}},
	} {
		got, id := build(tt.source, tt.env)
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(choice{})); diff != "" {
			t.Errorf("%s %v (-want +got):\n%s", tt.source, tt.env, diff)
		}
		ids = append(ids, id)
	}
	if ids[0] != ids[1] || ids[0] == ids[3] {
		t.Error("object ids: want equal ones in two folders, and others for another policy")
	}

	for name, value := range map[string]string{"BPFCOV_FIDELITY": "high", "BPFCOV_COUNTER": "double", "BPFCOV_POLICY": "/no/such/policy"} {
		t.Setenv(name, value)
		got := call(t, t.TempDir(), program, wrapper(t), "-O2", "-target", "bpf", "-x", "c", "-c", "-", "-o", "x.o")
		if got.Code != ExitEnvironment || !strings.Contains(got.Stderr, value) {
			t.Errorf("%s=%s: got %+v", name, value, got)
		}
		os.Unsetenv(name)
	}
}

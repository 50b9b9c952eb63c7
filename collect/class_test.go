package collect

import (
	"os"
	"path/filepath"
	"testing"
)

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		errno, reason string
		processed     int
		want          Class
	}{
		{"EACCES", "R9 !read_ok", 3, ClassVerifier},
		{"EINVAL", "unknown func bpf_ktime_get_tai_ns#208", 0, ClassHelper},
		{"EINVAL", "program of this type cannot use helper bpf_probe_read#4", 0, ClassHelper},
		{"EINVAL", "invalid func unknown#195896080", 0, ClassCORE},
		{"EACCES", "calling kernel function bpf_task_acquire is not allowed", 0, ClassKfunc},
		{"E2BIG", "BPF program is too large. Processed 1000001 insn", 1000001, ClassLimits},
		{"EINVAL", "in-kernel BTF is malformed", 0, ClassBTF},
		{"EINVAL", "attach_btf_id 1 is not a function", 0, ClassAttach},
		{"EPERM", "", 0, ClassPermission},
		{"EINVAL", "", 0, ClassAttach},
		{"ENOTSUPP", "12: (95) exit", 9, ClassJIT},
		{"ENOMEM", "", 0, ClassLimits},
	} {
		got, reason := classify(tt.errno, tt.reason, tt.processed)
		if got != tt.want || reason == "" {
			t.Errorf("%s %q: got %s, %q, want %s and a reason", tt.errno, tt.reason, got, reason, tt.want)
		}
	}
}

// The whole log of a refused program is a file beside the record, and goes along when folders are merged.
func TestSaveLogs(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	rec := sampleRecord()
	rec.Objects = nil
	rec.Programs = []ProgramLoad{{Name: "../odd/name", Verdict: VerdictRejected, Log: "the end", FullLog: "from the beginning to the end"}}
	if _, err := Save(dir, []Record{*rec}); err != nil {
		t.Fatal(err)
	}
	if rec.Programs[0].FullLog == "" {
		t.Error("the caller's record was changed")
	}
	if _, err := MergeDirs(out, dir); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, out} {
		data, err := ReadDir(d)
		if err != nil {
			t.Fatal(err)
		}
		p := data.Records[0].Programs[0]
		b, err := os.ReadFile(filepath.Join(d, p.LogFile))
		if err != nil || string(b) != "from the beginning to the end" || p.FullLog != "" || p.Log != "the end" || filepath.Base(p.LogFile) != p.LogFile {
			t.Errorf("got %q in %q, %v", b, p.LogFile, err)
		}
	}
	// A record from elsewhere may name anything.
	if err := copyLogs(out, dir, []ProgramLoad{{LogFile: "verifier-log./../../secret"}, {LogFile: "/etc/passwd"}, {LogFile: "verifier-log.gone"}}); err != nil {
		t.Error(err)
	}
}

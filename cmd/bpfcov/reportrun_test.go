package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
	"github.com/bpfcov/bpfcov/vm/matrix"
)

// One damaged record is no reason to report nothing of a run that has ended.
func TestReportRunDamaged(t *testing.T) {
	out := t.TempDir()
	covdata := filepath.Join(out, "covdata")
	if err := modeltest.Save(covdata, modeltest.Data(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(covdata, "counters.6.1-amd64.broken.00"), []byte("BPFCOVR\x1a"), 0o666); err != nil {
		t.Fatal(err)
	}
	told := captureStderr(t)
	var stdout bytes.Buffer
	err := reportRun(t.Context(), &stdout, &matrix.Runner{Out: out, Config: &config.Config{Dir: out}}, &matrix.Result{Covdata: covdata})
	if text := told(); !strings.Contains(text, "left out: ") || !strings.Contains(text, "broken.00: truncated") {
		t.Errorf("got on stderr %q, want the damaged file", text)
	}
	if err != nil {
		t.Errorf("got %v, want the report", err)
	}
	for _, name := range []string{"report.json", "html/index.html", "lcov/merged.info"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
}

func captureStderr(t *testing.T) (text func() string) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	was := os.Stderr
	os.Stderr = file
	return func() string {
		os.Stderr = was
		file.Close()
		b, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

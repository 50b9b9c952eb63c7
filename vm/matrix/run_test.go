package matrix

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/vm/qemu"
)

// A machine without QEMU keeps the results of the last run: nothing can replace them.
func TestRunWithoutQEMU(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	dir := t.TempDir()
	r := &Runner{Config: &config.Config{Dir: dir, Tests: []config.Test{{Name: "x", Command: []string{"./x"}}}},
		Points: []Point{{"apt:bookworm", "amd64"}, {"apt:bookworm", "arm64"}}, Out: filepath.Join(dir, "out")}
	out, err := openOut(r.Out)
	if err != nil {
		t.Fatal(err)
	}
	out.Close()
	last := filepath.Join(r.Out, "report.json")
	if err := os.WriteFile(last, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context()); !errors.Is(err, qemu.ErrNoQEMU) {
		t.Errorf("got %v, want ErrNoQEMU", err)
	}
	if _, err := os.Stat(last); err != nil {
		t.Error(err)
	}
}

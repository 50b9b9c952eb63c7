package matrix

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestOpenOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	o, err := openOut(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openOut(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("second open: got %v, want ErrInUse", err)
	}
	for _, name := range []string{"covdata", "mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	o.Close()
	if o, err = openOut(dir); err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if err := o.remove([]string{"covdata"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "covdata")); !os.IsNotExist(err) {
		t.Errorf("covdata of the earlier run is still there (%v)", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "mine")); err != nil {
		t.Errorf("a file of the user's is gone: %v", err)
	}
}

func TestOpenOutForeign(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := openOut(dir); err == nil {
		t.Error("a folder that bpfcov did not make was accepted")
	}
	if _, err := os.Stat(filepath.Join(dir, "thesis.tex")); err != nil {
		t.Error(err)
	}
}

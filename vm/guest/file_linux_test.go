package guest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEmptyDir(t *testing.T) {
	dir := t.TempDir()
	if empty, err := emptyDir(dir); !empty || err != nil {
		t.Errorf("a new folder: got %v, %v, want true", empty, err)
	}
	long := filepath.Join(dir, strings.Repeat("n", 255))
	if err := os.WriteFile(long, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if empty, err := emptyDir(dir); empty || err != nil {
		t.Errorf("a file with a long name: got %v, %v, want false", empty, err)
	}
	if err := os.Remove(long); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if empty, err := emptyDir(dir); empty || err != nil {
		t.Errorf("a folder in it: got %v, %v, want false", empty, err)
	}
	if empty, err := emptyDir(filepath.Join(dir, "none")); empty || err != unix.ENOENT {
		t.Errorf("no folder: got %v, %v, want ENOENT", empty, err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("d", link); err != nil {
		t.Fatal(err)
	}
	if empty, err := emptyDir(link); empty || err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a link: got %v, %v, want an error", empty, err)
	}
}

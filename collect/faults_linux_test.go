package collect

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// One damaged file is left out, named, when that is wanted; nothing else is lost.
func TestReadDirDamaged(t *testing.T) {
	dir := t.TempDir()
	good, bad, twin := sampleRecord(), sampleRecord(), sampleRecord()
	bad.Run.ID, twin.Run.ID, twin.Run.Test = "feed", "feed", "twin" // two files with one nonce
	var paths []string
	for _, r := range []*Record{good, bad, twin} {
		p, err := WriteRecord(dir, r)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	if err := os.Truncate(paths[1], 100); err != nil {
		t.Fatal(err)
	}
	metaFile := filepath.Join(dir, metaPrefix+"00000000000000000000000000000000")
	if err := os.WriteFile(metaFile, []byte("not a description"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadDir(dir); err == nil {
		t.Error("without Damaged: got no error")
	}
	var named []string
	d, err := ReadOptions{Damaged: func(path string, err error) {
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got error %v, want one that names it", path, err)
		}
		named = append(named, path)
	}}.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(named)
	if diff := cmp.Diff([]string{paths[1], metaFile}, named); diff != "" {
		t.Errorf("damaged files (-want +got)\n%s", diff)
	}
	if len(d.Records) != 2 {
		t.Errorf("got %d records, want the 2 others", len(d.Records))
	}
}

// smallDisk mounts a file system of some pages.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// A disk that is full: an error that says so, and neither a half file nor a change to what was there.
func TestWriteRecordDiskFull(t *testing.T) {
	dir := smallDisk(t, "size=128k")
	first := sampleRecord()
	path, err := WriteRecord(dir, first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 100<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	later := sampleRecord() // of the same run
	later.Run.Duration *= 2
	big := make([]uint64, 1<<17)
	for i := range big {
		big[i] = uint64(i) * 0x9e3779b97f4a7c15 // does not compress
	}
	later.Objects[0].Counts, later.Objects[0].States = big, nil
	if _, err := WriteRecord(dir, later); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), path) {
		t.Errorf("got error %v, want ENOSPC with the file's name", err)
	}
	d, err := ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Record{*first}, d.Records); diff != "" {
		t.Errorf("the record before (-want +got)\n%s", diff)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestWriteRecordReadOnly(t *testing.T) {
	dir := smallDisk(t, "size=128k")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteRecord(dir, sampleRecord()); !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got error %v, want EROFS with the folder's name", err)
	}
}

package initramfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/cpio"
)

// entry is what a test compares of an archive's record.
type entry struct {
	Name string
	Mode uint64
	Data string
}

func archive(t *testing.T, files []File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, files); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func entries(t *testing.T, b []byte) []entry {
	t.Helper()
	recs, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out []entry
	for _, r := range recs {
		e := entry{Name: r.Name, Mode: r.Mode}
		if r.FileSize > 0 {
			data, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
			if err != nil {
				t.Fatal(err)
			}
			e.Data = string(data)
		}
		if r.MTime != 0 || r.UID != 0 || r.GID != 0 {
			t.Errorf("%s: got mtime %d, uid %d, gid %d, want zeros", r.Name, r.MTime, r.UID, r.GID)
		}
		out = append(out, e)
	}
	return out
}

func TestWrite(t *testing.T) {
	src := filepath.Join(t.TempDir(), "prog")
	if err := os.WriteFile(src, []byte("#!/bin/true\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(src, 0o755); err != nil { // whatever the umask
		t.Fatal(err)
	}
	files := []File{
		{Path: "/usr/bin/prog", Source: src},
		{Path: "/etc/x", Data: []byte("data")},
		{Path: "/etc/empty", Data: []byte{}},
		{Path: "/lib", Link: "usr/lib"},
		{Path: "/usr/lib", Mode: fs.ModeDir | 0o700},
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{Path: "/usr/bin/prog", Source: src}, // again, as two programs may share a library
		{Path: "/suid", Mode: fs.ModeSetuid | 0o755, Data: []byte("s")},
	}
	got := archive(t, files)
	want := []entry{
		{"etc", 0o040755, ""},
		{"etc/empty", 0o100644, ""},
		{"etc/x", 0o100644, "data"},
		{"lib", 0o120777, "usr/lib"},
		{"suid", 0o104755, "s"},
		{"tmp", 0o041777, ""},
		{"usr", 0o040755, ""},
		{"usr/bin", 0o040755, ""},
		{"usr/bin/prog", 0o100755, "#!/bin/true\n"},
		{"usr/lib", 0o040700, ""},
	}
	if diff := cmp.Diff(want, entries(t, got)); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
	for i, j := 0, len(files)-1; i < j; i, j = i+1, j-1 {
		files[i], files[j] = files[j], files[i]
	}
	if !bytes.Equal(got, archive(t, files)) {
		t.Errorf("the order of the list changed the archive")
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name  string
		files []File
		want  string
	}{
		{"relative", []File{{Path: "x"}}, "clean absolute path"},
		{"escape", []File{{Path: "/a/../../x"}}, "clean absolute path"},
		{"trailing slash", []File{{Path: "/a/"}}, "clean absolute path"},
		{"NUL", []File{{Path: "/a\x00b"}}, "clean absolute path"},
		{"two contents", []File{{Path: "/x", Data: []byte("a"), Link: "b"}}, "more than one of"},
		{"conflict", []File{{Path: "/x", Data: []byte("a")}, {Path: "/x", Data: []byte("bc")}}, "a file of 1 bytes and a file of 2 bytes"},
		{"file as directory", []File{{Path: "/x", Data: []byte("a")}, {Path: "/x/y"}}, "/x/y is below it"},
		{"device", []File{{Path: "/x", Mode: fs.ModeDevice}}, "want a file or a directory"},
		{"source is a folder", []File{{Path: "/x", Source: dir}}, "not a regular file"},
		{"no source", []File{{Path: "/x", Source: dir + "/none"}}, "no such file"},
	} {
		err := Write(io.Discard, tt.files)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one with %q", tt.name, err, tt.want)
		}
		if strings.HasPrefix(tt.name, "conflict") && !errors.Is(err, ErrConflict) {
			t.Errorf("%s: got error %v, want ErrConflict", tt.name, err)
		}
	}
}

func TestTree(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"a": "1", "sub/b": "2"} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("sub/b", filepath.Join(dir, "l")); err != nil {
		t.Fatal(err)
	}
	files, err := Tree(dir, "/work")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries(t, archive(t, files)) {
		got = append(got, e.Name+"="+e.Data)
	}
	want := []string{"work=", "work/a=1", "work/l=sub/b", "work/sub=", "work/sub/b=2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

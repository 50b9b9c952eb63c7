package rootfs

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/vm/initramfs"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]Spec{
		"": {}, "closure": {}, "host": {Kind: Host}, "image:debian:12": {Image, "debian:12"}, "image:./root": {Image, "./root"},
	} {
		if got, err := Parse(in); err != nil || got != want {
			t.Errorf("Parse(%q): got %+v, %v, want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"image": "behind image:", "image:": "behind image:", "debian:12": "want closure, image:REF or host", "Host": "want closure",
	} {
		if _, err := Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): got %v, want it to contain %q", in, err, want)
		}
	}
}

// list is what an image holds: modes, owners, sizes and names.
func list(t *testing.T, image string) []string {
	t.Helper()
	out, err := exec.Command("unsquashfs", "-lln", "-d", "/", image).Output()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		if f[0][0] != '-' {
			f[2] = "" // of a folder it depends on the tool
		}
		lines = append(lines, strings.Join(strings.Fields(strings.Join([]string{f[0], f[1], f[2], strings.Replace(strings.Join(f[5:], " "), "//", "/", 1)}, " ")), " "))
	}
	return lines
}

func need(t *testing.T) {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
}

func TestFromFiles(t *testing.T) {
	need(t)
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	if err := os.WriteFile(src, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	err := FromFiles(t.Context(), out, []initramfs.File{
		{Path: "/a/b", Source: src}, {Path: "/a/suid", Data: []byte("x"), Mode: 0o755 | fs.ModeSetuid}, {Path: "/link", Link: "a/b"},
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777}, {Path: "/empty"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"drwxr-xr-x 0/0 /", "drwxr-xr-x 0/0 /a", "-rw------- 0/0 5 /a/b", "-rwsr-xr-x 0/0 1 /a/suid", "-rw-r--r-- 0/0 0 /empty",
		"lrwxrwxrwx 0/0 /link -> a/b", "drwxrwxrwt 0/0 /tmp",
	}
	if diff := cmp.Diff(want, list(t, out)); diff != "" {
		t.Errorf("image (-want +got):\n%s", diff)
	}
}

// An image is made once, again when what it is made from changes, and whole or not at all.
func TestDisk(t *testing.T) {
	need(t)
	dir := t.TempDir()
	root := filepath.Join(dir, "root-amd64")
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	made := 0
	m := Maker{Dir: filepath.Join(dir, "cache"), Base: dir, Log: func(string, ...any) { made++ }}
	s := Spec{Image, "root-{arch}"}
	disk := func() string {
		t.Helper()
		out, err := m.Disk(t.Context(), s, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if a, b := disk(), disk(); a != b || made != 1 {
		t.Errorf("got %s and %s, made %d times", a, b, made)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(list(t, disk()), "\n"); !strings.Contains(got, "/etc/new") || made != 2 {
		t.Errorf("after a change: got %s, made %d times", got, made)
	}

	// Owners and paths of an archive are the image's; nothing of it comes near the host's files.
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range []*tar.Header{
		{Name: "usr/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "usr/x", Typeflag: tar.TypeReg, Mode: 0o644, Uid: 42, Gid: 43},
		{Name: "out", Typeflag: tar.TypeSymlink, Linkname: "../../../etc/passwd", Mode: 0o777},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	z.Close()
	s.Ref = "root.tar.gz"
	if err := os.WriteFile(filepath.Join(dir, s.Ref), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []string{"drwxr-xr-x 0/0 /", "lrwxrwxrwx 0/0 /out -> ../../../etc/passwd", "drwxr-xr-x 0/0 /usr", "-rw-r--r-- 42/43 0 /usr/x"}
	if diff := cmp.Diff(want, list(t, disk())); diff != "" {
		t.Errorf("image of an archive (-want +got):\n%s", diff)
	}

	s.Ref = "names.tar"
	var names bytes.Buffer
	w = tar.NewWriter(&names)
	for _, h := range []*tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o700}, {Name: "./usr/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./usr/x", Typeflag: tar.TypeReg, Mode: 0o644}, {Name: "./usr/same", Typeflag: tar.TypeLink, Linkname: "./usr/x"},
		{Name: "/abs", Typeflag: tar.TypeReg, Mode: 0o600}, {Name: "usr/../../up", Typeflag: tar.TypeReg, Mode: 0o600},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	if err := os.WriteFile(filepath.Join(dir, s.Ref), names.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	want = []string{"drwxr-xr-x 0/0 /", "-rw------- 0/0 0 /abs", "-rw------- 0/0 0 /up", "drwxr-xr-x 0/0 /usr", "-rw-r--r-- 0/0 0 /usr/same", "-rw-r--r-- 0/0 0 /usr/x"}
	if diff := cmp.Diff(want, list(t, disk())); diff != "" {
		t.Errorf("image of an archive with such names (-want +got):\n%s", diff)
	}

	s.Ref = "cut.tar.gz"
	if err := os.WriteFile(filepath.Join(dir, s.Ref), b.Bytes()[:b.Len()-20], 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := m.Disk(t.Context(), s, "amd64"); err == nil {
		t.Errorf("a damaged archive gave %v: %q", out, list(t, out))
	}
	left, err := filepath.Glob(filepath.Join(m.Dir, ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
}

func TestDiskErrors(t *testing.T) {
	need(t)
	m := Maker{Dir: t.TempDir(), Base: t.TempDir()}
	for ref, want := range map[string]string{
		"./none": "no such file", "none.tar.gz": "no such file", "/none": "no such file", "Not A Reference": "not the reference of an OCI image",
		"127.0.0.1:1/none": "as an OCI image",
	} {
		if _, err := m.Disk(t.Context(), Spec{Image, ref}, "amd64"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to contain %q", ref, err, want)
		}
	}
	t.Setenv("PATH", "")
	if _, err := m.Disk(t.Context(), Spec{Image, "."}, "amd64"); !errors.Is(err, ErrNoTools) {
		t.Errorf("without tools: got %v", err)
	}
}

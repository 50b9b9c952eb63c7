package vm

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
)

func TestStripSignature(t *testing.T) {
	const magic = "~Module signature appended~\n"
	info := "\x00\x00\x02\x00\x00\x00\x00\x00"
	for _, tt := range []struct{ name, in, want string }{
		{"signed", "ELF" + "SIG" + info + "\x00\x00\x00\x03" + magic, "ELF"},
		{"not signed", "ELF", "ELF"},
		{"size beyond the file", "ELF" + info + "\x00\x00\x00\x04" + magic, "ELF" + info + "\x00\x00\x00\x04" + magic},
		{"huge size", "ELF" + info + "\xff\xff\xff\xff" + magic, "ELF" + info + "\xff\xff\xff\xff" + magic},
		{"only the magic", magic, magic},
		{"empty", "", ""},
	} {
		if got := string(stripSignature([]byte(tt.in))); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSigOptional(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config")
	for text, want := range map[string]bool{
		"CONFIG_MODULE_SIG=y\n# CONFIG_MODULE_SIG_FORCE is not set\n": true,
		"CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_FORCE=y\n":            false,
		"": false,
	} {
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := sigOptional(config); got != want {
			t.Errorf("config %q: got %v, want %v", text, got, want)
		}
	}
	if sigOptional("") || sigOptional(config+".none") {
		t.Errorf("a kernel without config: signatures must stay")
	}
}

// The guest's own files replace the defaults, and nothing replaces the agent's.
func TestCellFiles(t *testing.T) {
	c := CellConfig{
		Kernel: &kernels.Kernel{Release: "1.2", Arch: "amd64"},
		Agent:  "agent",
		Tests:  []guest.Test{{Name: "t", Command: []string{"x"}}},
		Files:  []initramfs.File{{Path: "/etc/passwd", Data: []byte("mine")}, {Path: "/x", Source: "y"}},
	}
	files, err := cellFiles(&c)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range files {
		if old, dup := got[f.Path]; dup {
			t.Errorf("%s: listed twice (%s)", f.Path, old)
		}
		switch {
		case f.Mode.IsDir():
			got[f.Path] = "dir"
		case f.Source != "":
			got[f.Path] = "from " + f.Source
		default:
			got[f.Path] = "data"
		}
		if f.Path == "/etc/passwd" && string(f.Data) != "mine" {
			t.Errorf("/etc/passwd: got %q, want the cell's own", f.Data)
		}
		if f.Path == "/tmp" && f.Mode != fs.ModeDir|fs.ModeSticky|0o777 {
			t.Errorf("/tmp: got mode %v", f.Mode)
		}
	}
	want := map[string]string{
		"/init": "from agent", "/bpfcov/job": "data", "/x": "from y", "/root": "dir", "/tmp": "dir",
		"/etc/passwd": "data", "/etc/group": "data", "/etc/hosts": "data", "/etc/nsswitch.conf": "data",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// A saved guest has the system's files, unless the tests bring a folder or a link in place of one.
func TestSavedFiles(t *testing.T) {
	system := len(systemFiles())
	tests := []struct {
		name   string
		file   initramfs.File
		root   Root
		shared bool
	}{
		{"another path", initramfs.File{Path: "/x", Data: []byte("x")}, Root{}, true},
		{"its own passwd", initramfs.File{Path: "/etc/passwd", Data: []byte("mine")}, Root{}, true},
		{"its own folder", initramfs.File{Path: "/root", Mode: fs.ModeDir | 0o755}, Root{}, true},
		{"a folder above", initramfs.File{Path: "/etc", Mode: fs.ModeDir | 0o700}, Root{}, true},
		{"a link above", initramfs.File{Path: "/etc", Link: "usr/etc"}, Root{}, false},
		{"a link", initramfs.File{Path: "/etc/hosts", Link: "../run/hosts"}, Root{}, false},
		{"a folder for a file", initramfs.File{Path: "/etc/group", Mode: fs.ModeDir | 0o755}, Root{}, false},
		{"a file for a folder", initramfs.File{Path: "/tmp", Data: []byte("x")}, Root{}, false},
		{"another root", initramfs.File{Path: "/x", Data: []byte("x")}, Root{Disk: "d"}, false},
	}
	for _, tt := range tests {
		c := CellConfig{Files: []initramfs.File{tt.file}, Root: tt.root}
		saved, sent := savedFiles(&c)
		if tt.shared && (len(saved) != system || len(sent) != 1) || !tt.shared && len(saved) != 0 {
			t.Errorf("%s: got %d files saved and %d sent, want shared %v", tt.name, len(saved), len(sent), tt.shared)
		}
		if diff := cmp.Diff(len(testFiles(&c)), len(sent)); !tt.shared && diff != "" {
			t.Errorf("%s: files sent (-want +got):\n%s", tt.name, diff)
		}
	}
}

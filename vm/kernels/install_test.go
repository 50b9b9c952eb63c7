package kernels

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDestination(t *testing.T) {
	const rel = "6.1.0-1-amd64"
	for in, want := range map[string]string{
		"./boot/vmlinuz-" + rel:                                     "vmlinuz",
		"boot/vmlinux-" + rel:                                       "vmlinuz",
		"./boot/config-" + rel:                                      "config",
		"./boot/System.map-" + rel:                                  "",
		"./boot/vmlinuz-6.2":                                        "",
		"./usr/lib/modules/" + rel + "/vmlinuz":                     "vmlinuz",
		"./usr/lib/modules/" + rel + "/config":                      "config",
		"./lib/modules/" + rel + "/kernel/net/veth.ko":              "lib/modules/" + rel + "/kernel/net/veth.ko",
		"./usr/lib/modules/" + rel + "/kernel/net/veth.ko.xz":       "lib/modules/" + rel + "/kernel/net/veth.ko.xz",
		"./usr/lib/modules/" + rel + "/modules.builtin":             "lib/modules/" + rel + "/modules.builtin",
		"./lib/modules/other/kernel/x.ko":                           "",
		"./lib/modules/" + rel + "/../../../../etc/x.ko":            "",
		"/lib/modules/" + rel + "/kernel/../../../../../../evil.ko": "",
		"../../lib/modules/" + rel + "/x.ko":                        "lib/modules/" + rel + "/x.ko",
		"./usr/share/doc/x":                                         "",
		"./etc/kernel/postinst.d/x":                                 "",
	} {
		if got := destination(in, rel); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

func tarOf(t testing.TB, hs ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range hs {
		h.Mode = 0o4777
		h.Size = 0
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(h.Name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestUnpackTar(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	left := int64(1000)
	in := tarOf(t,
		tar.Header{Name: "./boot/", Typeflag: tar.TypeDir},
		tar.Header{Name: "./boot/vmlinuz-6.1", Typeflag: tar.TypeReg},
		tar.Header{Name: "./lib/modules/6.1/kernel/a.ko", Typeflag: tar.TypeReg},
		tar.Header{Name: "./lib/modules/6.1/build", Typeflag: tar.TypeSymlink, Linkname: "/usr/src"},
		// A folder that is a link out, and a file behind it: the link is not made, so the file stays inside.
		tar.Header{Name: "./lib/modules/6.1/out", Typeflag: tar.TypeSymlink, Linkname: "/tmp"},
		tar.Header{Name: "./lib/modules/6.1/out/b.ko", Typeflag: tar.TypeReg},
		tar.Header{Name: "./lib/modules/6.1/hard.ko", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"},
		tar.Header{Name: "./lib/modules/6.1/dev.ko", Typeflag: tar.TypeChar},
		tar.Header{Name: "./lib/modules/6.1/../../../../c.ko", Typeflag: tar.TypeReg},
	)
	if err := unpackTar(in, root, "6.1", &left); err != nil {
		t.Fatal(err)
	}
	var got []string
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() || i.Mode().Perm()&0o111 != 0 {
			t.Errorf("%s: mode %v, want a plain file", p, i.Mode())
		}
		rel, err := filepath.Rel(dir, p)
		got = append(got, rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"lib/modules/6.1/kernel/a.ko", "lib/modules/6.1/out/b.ko", "vmlinuz"}
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	if left >= 1000 || left < 900 {
		t.Errorf("left: got %d, want 1000 less the sizes", left)
	}
	left = 3
	err = unpackTar(tarOf(t, tar.Header{Name: "./boot/vmlinuz-6.1", Typeflag: tar.TypeReg}), root, "6.1", &left)
	if !errors.Is(err, errTooLarge) {
		t.Errorf("more than is left: got %v, want errTooLarge", err)
	}
	if err := unpackTar(strings.NewReader("no tar at all, "+strings.Repeat("x", 600)), root, "6.1", &left); err == nil {
		t.Error("garbage: got no error")
	}
}

func TestReadConfig(t *testing.T) {
	const text = `#
# Automatically generated file
CONFIG_BPF_SYSCALL=y
CONFIG_BPF_JIT=y
CONFIG_BPF_JIT_DEFAULT_ON=y
# CONFIG_BPF_LSM is not set
CONFIG_DEBUG_INFO_BTF=y
CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y
CONFIG_LSM="landlock,lockdown,bpf"
CONFIG_PVH=y
`
	want := Features{
		Known: true, BPF: true, BTF: true, JIT: true, JITDefaultOn: true, Fentry: true,
		LSMs: []string{"landlock", "lockdown", "bpf"}, PVH: true,
	}
	if d := cmp.Diff(want, readConfig([]byte(text))); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	if d := cmp.Diff(Features{}, readConfig(nil)); d != "" {
		t.Errorf("empty: want -, got +:\n%s", d)
	}
	if f := readConfig([]byte("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y\n")); f.Fentry {
		t.Error("fentry without a JIT (s390x): got true, want false")
	}
}

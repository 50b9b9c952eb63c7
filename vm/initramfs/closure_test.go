package initramfs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unpack lays files out below a folder, as the kernel would.
func unpack(t *testing.T, files []File) string {
	t.Helper()
	root := t.TempDir()
	entries, err := Plan(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range entries {
		p := filepath.Join(root, f.Path)
		switch {
		case f.Mode.IsDir():
			err = os.MkdirAll(p, 0o755)
		case f.Link != "":
			err = os.Symlink(f.Link, p)
		default:
			data := f.Data
			if f.Source != "" {
				data, err = os.ReadFile(f.Source)
			}
			if err == nil {
				err = os.WriteFile(p, data, 0o755)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// runIn runs a command with root as its root, where only what is in the closure exists.
func runIn(t *testing.T, root string, args ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("chroot needs root")
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Path, cmd.Err = args[0], nil
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v in the closure: %v\n%s", args, err, out)
	}
	return string(out)
}

// compiler returns a C compiler that links, or skips.
func compiler(t *testing.T) string {
	t.Helper()
	for _, cc := range []string{"cc", "gcc", "clang", "clang-19"} {
		if p, err := exec.LookPath(cc); err == nil {
			return p
		}
	}
	t.Skip("no C compiler on PATH")
	return ""
}

func compile(t *testing.T, dir, out, src string, flags ...string) string {
	t.Helper()
	cc := compiler(t)
	c := filepath.Join(dir, filepath.Base(out)+".c")
	out = filepath.Join(dir, out)
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c, []byte(src), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command(cc, append([]string{"-o", out, c}, flags...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cc, err, text)
	}
	return out
}

func TestClosureOfShellRuns(t *testing.T) {
	var files []File
	for _, p := range []string{"/bin/sh", "/bin/ls"} {
		f, err := Closure(p, "", "")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f...)
	}
	got := runIn(t, unpack(t, files), "/bin/sh", "-c", "ls -d /bin; echo $((6*7))")
	if want := "/bin\n42\n"; got != want {
		t.Errorf("shell in its closure: got %q, want %q", got, want)
	}
}

func TestClosureOrigin(t *testing.T) {
	dir := t.TempDir()
	// prog needs libone (RUNPATH $ORIGIN/lib), which needs libtwo by its own RUNPATH.
	compile(t, dir, "lib/two/libtwo.so", "int two(void) { return 2; }", "-shared", "-fPIC")
	compile(t, dir, "lib/libone.so", "int two(void); int one(void) { return two() - 1; }", "-shared", "-fPIC",
		"-L"+dir+"/lib/two", "-ltwo", "-Wl,-rpath,$ORIGIN/two", "-Wl,--enable-new-dtags")
	prog := compile(t, dir, "prog", `#include <stdio.h>
int one(void); int main(void) { printf("%d\n", one()); return 0; }`,
		"-L"+dir+"/lib", "-lone", "-Wl,-rpath,$ORIGIN/lib", "-Wl,--enable-new-dtags", "-Wl,--allow-shlib-undefined")
	files, err := Closure(prog, "/opt/x/prog", "")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, f := range files {
		have[f.Path] = true
	}
	for _, want := range []string{"/opt/x/prog", "/opt/x/lib/libone.so", "/opt/x/lib/two/libtwo.so"} {
		if !have[want] {
			t.Errorf("closure of %s: got %v, want %s among them", prog, have, want)
		}
	}
	// Not with chroot: without /proc the loader does not know $ORIGIN.
	got, err := exec.Command(filepath.Join(unpack(t, files), "opt/x/prog")).CombinedOutput()
	if err != nil || string(got) != "1\n" {
		t.Errorf("prog in its closure: got %q, %v, want 1", got, err)
	}
}

func TestClosureMissingLibrary(t *testing.T) {
	dir := t.TempDir()
	b, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Replace(b, []byte("libc.so.6\x00"), []byte("libZ.so.6\x00"), 1)
	if bytes.Equal(b, broken) {
		t.Skip("/bin/true does not need libc.so.6 here")
	}
	prog := filepath.Join(dir, "prog")
	if err := os.WriteFile(prog, broken, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = Closure(prog, "", "")
	var missing *MissingLibraryError
	if !errors.As(err, &missing) {
		t.Fatalf("got error %v, want a MissingLibraryError", err)
	}
	if missing.Library != "libZ.so.6" || missing.NeededBy != prog || len(missing.Searched) == 0 {
		t.Errorf("got %+v, want libZ.so.6 needed by %s and the folders", missing, prog)
	}
}

func TestClosureScript(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return p
	}
	script := write("s", "#!/usr/bin/env -S sh -e\necho from a script\n")
	files, err := Closure(script, "/s", "")
	if err != nil {
		t.Fatal(err)
	}
	if got := runIn(t, unpack(t, files), "/s"); got != "from a script\n" {
		t.Errorf("script in its closure: got %q", got)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"none", "#!\n", "names no interpreter"},
		{"absent", "#!/no/such/shell\n", "/no/such/shell"},
		{"absent2", "#!/usr/bin/env no-such-shell\n", "no-such-shell is in none of"},
	} {
		_, err := Closure(write(tt.name, tt.text), "", "")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one with %q", tt.name, err, tt.want)
		}
	}
	loop := filepath.Join(dir, "loop")
	other := write("other", "#!"+loop+"\n")
	write("loop", "#!"+other+"\n")
	if _, err := Closure(loop, "", ""); err != nil { // each file is listed once
		t.Errorf("scripts that interpret each other: %v", err)
	}
}

func TestClosureStatic(t *testing.T) {
	prog := compile(t, t.TempDir(), "static", "int main(void) { return 0; }", "-static")
	files, err := Closure(prog, "/static", "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]File{{Path: "/static", Source: prog}}, files); diff != "" {
		t.Errorf("closure of a static program (-want +got):\n%s", diff)
	}
}

// A library that only ld.so.cache would find must be reachable without the cache.
func TestClosureLdSoConf(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	prog := compile(t, dir, "prog", "int odd(void); int main(void) { return odd(); }",
		"-x", "c", "-Wl,--unresolved-symbols=ignore-all", "-Wl,--no-as-needed", "-L"+mkOdd(t, dir, root), "-lodd")
	base, err := Closure("/bin/true", "", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range base { // the system's loader and libc, below the sysroot
		p := filepath.Join(root, f.Path)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(f.Source)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files, err := Closure(prog, "/prog", root)
	if err != nil {
		t.Fatal(err)
	}
	var link string
	for _, f := range files {
		if f.Link == "/opt/odd/libodd.so" {
			link = f.Path
		}
	}
	if path.Base(link) != "libodd.so" {
		t.Fatalf("got %v, want a link to /opt/odd/libodd.so in the loader's folder", files)
	}
	runIn(t, unpack(t, files), "/prog")
}

func mkOdd(t *testing.T, dir, root string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, "etc", "ld.so.conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"ld.so.conf":            "include /etc/ld.so.conf.d/*.conf\n",
		"ld.so.conf.d/odd.conf": "# a comment\n/opt/odd\n",
	} {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Dir(compile(t, root, "opt/odd/libodd.so", "int odd(void) { return 0; }", "-shared", "-fPIC"))
}

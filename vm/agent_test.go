package vm

import (
	"archive/zip"
	"debug/elf"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// inNestedModule reports whether a folder above the file has a go.mod of its own, the module's root aside.
func inNestedModule(name string, names []string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if slices.Contains(names, dir+"/go.mod") {
			return true
		}
	}
	return false
}

// TestBuildVersion builds the agent from a version of this module that a module proxy serves, as after go install, in
// a folder that belongs to no module.
func TestBuildVersion(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the agent")
	}
	const version = "v0.0.1"
	repo, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	files, err := exec.Command("git", "-C", repo, "ls-files").Output()
	if err != nil {
		t.Skipf("not in a checkout: %v", err)
	}
	proxy := t.TempDir()
	dir := filepath.Join(proxy, filepath.FromSlash(modulePath), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	z, err := os.Create(filepath.Join(dir, version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(z)
	names := strings.Fields(string(files))
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(repo, name))
		if err != nil || inNestedModule(name, names) {
			continue // deleted and not committed, or of another module
		}
		f, err := w.Create(modulePath + "@" + version + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		if name == "go.mod" {
			if err := os.WriteFile(filepath.Join(dir, version+".mod"), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, version+".info"), []byte(`{"Version":"`+version+`"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	modcache := strings.TrimSpace(string(cache))
	// The module itself must not come to the real cache; what it requires is read from there.
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GOPROXY", "file://"+filepath.ToSlash(proxy)+",file://"+filepath.ToSlash(modcache)+"/cache/download,off")
	t.Setenv("GONOSUMDB", "*")
	t.Setenv("GOFLAGS", "-modcacherw")
	out := filepath.Join(t.TempDir(), "agent")
	if err := buildVersion(t.Context(), agent, "s390x", version, out); err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(out)
	if err != nil || f.Machine != elf.EM_S390 {
		t.Errorf("got %+v, %v, want a program for s390x", f, err)
	}
	if err := buildVersion(t.Context(), agent, "s390x", "v0.0.2", out); err == nil || !strings.Contains(err.Error(), "v0.0.2") {
		t.Errorf("a version that there is not: got %v", err)
	}
}

// TestKeepProgram keeps programs of two builds apart, and throws away what nobody has used for long.
func TestKeepProgram(t *testing.T) {
	cache := t.TempDir()
	keep := func(content string) string {
		t.Helper()
		dir, err := os.MkdirTemp(cache, ".new-*")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "agent-amd64"), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		p, err := keepProgram(cache, dir, "agent-amd64")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	old := keep("of long ago")
	ago := time.Now().Add(-programAge - time.Hour)
	if err := os.Chtimes(filepath.Dir(old), ago, ago); err != nil {
		t.Fatal(err)
	}
	one, two, again := keep("of one build"), keep("of another"), keep("of one build")
	if one == two || one != again {
		t.Errorf("got %s, %s and for the first one again %s; want two names", one, two, again)
	}
	for p, want := range map[string]string{one: "of one build", two: "of another"} {
		if b, err := os.ReadFile(p); err != nil || string(b) != want {
			t.Errorf("%s: got %q, %v, want %q", p, b, err, want)
		}
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the unused one: got %v, want that it is gone", err)
	}
}

// TestBuildCached builds a program where there is none next to the running one.
func TestBuildCached(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the agent")
	}
	gocache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", strings.TrimSpace(string(gocache))) // it would be below the next one
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	p, err := FindAgent(t.Context(), "s390x")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(p, cache) {
		t.Errorf("got %s, want a file below %s", p, cache)
	}
	f, err := elf.Open(p)
	if err != nil || f.Machine != elf.EM_S390 {
		t.Errorf("got %+v, %v, want a program for s390x", f, err)
	}
}

package llvmpass_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bpfcov/bpfcov/instrument"
)

// TestSource checks that the embedded tree is the whole plugin: what CMakeLists.txt compiles is there.
func TestSource(t *testing.T) {
	onDisk, err := filepath.Glob("lib/*.cpp")
	if err != nil || len(onDisk) == 0 {
		t.Fatalf("no lib/*.cpp: %v", err)
	}
	cmake, err := os.ReadFile("CMakeLists.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range onDisk {
		if !strings.Contains(string(cmake), name) {
			t.Errorf("CMakeLists.txt does not compile %s", name)
		}
	}
}

// TestLit runs the lit tests in test/ for every LLVM major of this machine that has clang, the
// plugin's headers and the test tools (package llvm-N-tools).
func TestLit(t *testing.T) {
	ran := 0
	for major := instrument.MinLLVM; major <= instrument.MaxLLVM; major++ {
		path, err := exec.LookPath("clang-" + strconv.Itoa(major))
		if err != nil {
			continue
		}
		clang, err := instrument.ProbeClang(t.Context(), path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		t.Run("llvm-"+strconv.Itoa(major), func(t *testing.T) {
			real, err := filepath.EvalSymlinks(path)
			if err != nil {
				t.Fatal(err)
			}
			bindir := filepath.Dir(real)
			if _, err := os.Stat(filepath.Join(bindir, "FileCheck")); err != nil {
				t.Skipf("needs FileCheck (package llvm-%d-tools): %v", major, err)
			}
			lit := findLit()
			if lit == "" {
				t.Skip("needs lit.py (package llvm-19-tools)")
			}
			if s := instrument.PluginStatusOf(path, major); !s.Usable() {
				t.Skipf("no plugin for LLVM %d: building it needs %s", major, s.Missing)
			}
			plugin, err := instrument.EnsurePlugin(t.Context(), clang)
			if err != nil {
				t.Fatal(err)
			}
			runLit(t.Context(), t, lit, plugin, bindir, major)
			ran++
		})
	}
	if ran == 0 {
		t.Skip("no LLVM with clang, headers and test tools on this machine")
	}
}

func runLit(ctx context.Context, t *testing.T, lit, plugin, bindir string, major int) {
	t.Helper()
	cmd := exec.CommandContext(ctx, "python3", lit, "-v",
		"--param", "out="+t.TempDir(),
		"--param", "plugin="+plugin,
		"--param", "llvm_bindir="+bindir,
		"--param", "llvm_major="+strconv.Itoa(major),
		"test")
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", lit, err, out)
	}
	t.Logf("%s", out)
}

// findLit returns LLVM's test runner; any release's runs every release's tests.
func findLit() string {
	found, err := fs.Glob(os.DirFS("/usr/lib"), "llvm-*/build/utils/lit/lit.py")
	if err != nil || len(found) == 0 {
		return ""
	}
	return filepath.Join("/usr/lib", found[len(found)-1])
}

package instrument

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	llvmpass "github.com/bpfcov/bpfcov/llvm-pass"
)

// ErrNoPlugin means that there is no plugin for clang's LLVM major and none can be built.
var ErrNoPlugin = errors.New("no pass plugin")

// PluginStatus says where the plugin for one clang is, or what it takes to build one.
type PluginStatus struct {
	Major int
	// Path is a plugin of that major that is ready, "" if there is none.
	Path string
	// LLVMConfig and Compiler are what a build would use, "" if missing.
	LLVMConfig, Compiler string
	// Missing names what a build lacks, with the packages that have it; "" if nothing.
	Missing string
}

// Usable reports whether a plugin is ready or can be built.
func (s PluginStatus) Usable() bool { return s.Path != "" || s.Missing == "" }

// PluginStatusOf looks for the plugin for the clang at path, whose LLVM major is given. It starts no
// process.
func PluginStatusOf(clang string, major int) PluginStatus {
	s := PluginStatus{Major: major, Path: findPlugin(strconv.Itoa(major) + ".*")}
	s.LLVMConfig = findLLVMConfig(clang, major)
	s.Compiler = findCompiler(clang, major)
	var missing []string
	if s.LLVMConfig == "" {
		missing = append(missing, fmt.Sprintf("llvm-config-%d (package llvm-%d-dev)", major, major))
	} else if dir := includeDir(s.LLVMConfig); !exists(filepath.Join(dir, "llvm", "IR", "Module.h")) {
		missing = append(missing, fmt.Sprintf("LLVM's headers in %s (package llvm-%d-dev)", dir, major))
	}
	if s.Compiler == "" {
		missing = append(missing, "a C++ compiler (package g++)")
	}
	s.Missing = strings.Join(missing, " and ")
	return s
}

// PluginName is the file name of the plugin for a release of LLVM ("19.1.7") that belongs to this very
// bpfcov: it contains a hash of the plugin's source, so that an old file is never taken for a new one.
func PluginName(version string) string {
	return fmt.Sprintf("bpfcov-llvm%s-%s.so", version, sourceHash()[:12])
}

// FindPlugin returns a plugin for clang c that is ready for use, or "": next to the executable
// (../lib/bpfcov/, and the executable's own folder), then in the cache.
func FindPlugin(c Clang) string { return findPlugin(c.Version) }

// findPlugin is FindPlugin for a pattern of versions. A plugin of another major crashes clang while it
// is loaded, so the version is part of the name.
func findPlugin(version string) string {
	name := PluginName(version)
	var dirs []string
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dirs = append(dirs, filepath.Join(filepath.Dir(exe), "..", "lib", "bpfcov"), filepath.Dir(exe))
	}
	if dir, err := pluginCache(); err == nil {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if ok, err := filepath.Match(name, e.Name()); err == nil && ok {
				return filepath.Join(dir, e.Name())
			}
		}
	}
	return ""
}

// EnsurePlugin returns the plugin for clang c, and builds it into the cache first when there is
// none, which takes some ten seconds. It is safe to call from many processes at once. The error wraps
// [ErrNoPlugin] and says what to install.
func EnsurePlugin(ctx context.Context, c Clang) (string, error) {
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("%s: %w for LLVM %d: %w", c.Path, ErrNoPlugin, c.Major, err)
	}
	if c.Major < MinLLVM || c.Major > MaxLLVM {
		return fail(fmt.Errorf("supported are LLVM %d to %d; set BPFCOV_CLANG to one of them", MinLLVM, MaxLLVM))
	}
	if path := FindPlugin(c); path != "" {
		return path, nil
	}
	s := PluginStatusOf(c.Path, c.Major)
	if s.Missing != "" {
		return fail(fmt.Errorf("building it needs %s; install that or set BPFCOV_CLANG to another clang", s.Missing))
	}
	dir, err := pluginCache()
	if err != nil {
		return fail(err)
	}
	path, err := buildPluginInto(ctx, dir, c, s)
	if err != nil {
		return fail(err)
	}
	return path, nil
}

// buildPluginInto builds under a lock, so that a parallel make builds once, and renames the result
// into place.
func buildPluginInto(ctx context.Context, dir string, c Clang, s PluginStatus) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, PluginName(c.Version))
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() // and so unlocks
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
	}
	if exists(path) {
		return path, nil // another process was quicker
	}
	tmp, err := os.MkdirTemp(dir, ".build-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	built, err := compilePlugin(ctx, tmp, s)
	if err != nil {
		return "", err
	}
	return path, os.Rename(built, path)
}

// compilePlugin does with the plain compiler what CMakeLists.txt does, because not every machine with
// LLVM's headers has CMake.
func compilePlugin(ctx context.Context, tmp string, s PluginStatus) (string, error) {
	version, err := output(ctx, s.LLVMConfig, "--version")
	if err != nil {
		return "", err
	}
	if major, _, _ := strings.Cut(version, "."); major != strconv.Itoa(s.Major) {
		return "", fmt.Errorf("%s is of LLVM %s; install llvm-%d-dev", s.LLVMConfig, version, s.Major)
	}
	include, err := output(ctx, s.LLVMConfig, "--includedir")
	if err != nil {
		return "", err
	}
	rtti, err := output(ctx, s.LLVMConfig, "--has-rtti")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(filepath.Join(tmp, "src"), llvmpass.Source()); err != nil {
		return "", err
	}
	// One translation unit: LLVM's headers take most of the time, and so are read once.
	var unit strings.Builder
	sources, err := fs.Glob(llvmpass.Source(), "lib/*.cpp")
	if err != nil {
		return "", err
	}
	for _, src := range sources {
		fmt.Fprintf(&unit, "#include \"%s\"\n", src)
	}
	src := filepath.Join(tmp, "src")
	all := filepath.Join(src, "all.cpp")
	if err := os.WriteFile(all, []byte(unit.String()), 0o644); err != nil {
		return "", err
	}
	so := filepath.Join(tmp, "bpfcov.so")
	args := []string{"-std=c++17", "-O1", "-DNDEBUG", "-fPIC", "-shared", "-fno-exceptions",
		"-fvisibility=hidden", "-fvisibility-inlines-hidden",
		"-D_GNU_SOURCE", "-D__STDC_CONSTANT_MACROS", "-D__STDC_FORMAT_MACROS", "-D__STDC_LIMIT_MACROS",
		"-I" + src, "-I" + filepath.Join(src, "include"), "-isystem", include, "-o", so, all}
	if rtti == "NO" {
		args = append([]string{"-fno-rtti"}, args...)
	}
	_, err = output(ctx, s.Compiler, args...)
	return so, err
}

// output runs a build tool and returns its trimmed standard output.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = childEnv()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w%s", filepath.Base(name), err, tail(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// findLLVMConfig prefers the one beside clang itself, which surely is of the same build.
func findLLVMConfig(clang string, major int) string {
	if real, err := filepath.EvalSymlinks(clang); err == nil {
		beside := filepath.Join(filepath.Dir(real), "llvm-config")
		if executable(beside) {
			return beside
		}
	}
	if path, err := exec.LookPath(fmt.Sprintf("llvm-config-%d", major)); err == nil {
		return path
	}
	if path, err := exec.LookPath("llvm-config"); err == nil {
		if v, err := output(context.Background(), path, "--version"); err == nil && strings.HasPrefix(v, strconv.Itoa(major)+".") {
			return path
		}
	}
	return ""
}

// includeDir guesses llvm-config --includedir without running it: ../include.
func includeDir(llvmConfig string) string {
	if real, err := filepath.EvalSymlinks(llvmConfig); err == nil {
		llvmConfig = real
	}
	return filepath.Join(filepath.Dir(llvmConfig), "..", "include")
}

func findCompiler(clang string, major int) string {
	for _, name := range []string{os.Getenv("CXX"), "c++", "g++", fmt.Sprintf("clang++-%d", major), "clang++"} {
		if name == "" || strings.ContainsRune(name, ' ') {
			continue
		}
		if path, err := exec.LookPath(name); err == nil && !isSelf(path) {
			return path
		}
	}
	return ""
}

// pluginCache is where built plugins are kept.
func pluginCache() (string, error) {
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "plugins"), nil
}

// sourceHash identifies the plugin's source.
func sourceHash() string {
	h := sha256.New()
	src := llvmpass.Source()
	err := fs.WalkDir(src, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(src, path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(data), data)
		return err
	})
	if err != nil {
		panic(err) // an embedded tree cannot fail
	}
	return hex.EncodeToString(h.Sum(nil))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

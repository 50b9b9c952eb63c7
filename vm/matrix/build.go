package matrix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/bpfcov/bpfcov/vm/initramfs"
)

// BuildError is a build script that failed. Its tail is what a person needs first.
type BuildError struct {
	Arch string
	Err  error
	Log  string // file with everything that the script printed
	Tail string // last lines of it
}

func (e *BuildError) Error() string {
	return strings.TrimRight(fmt.Sprintf("build for %s: %v (log: %s)\n%s", e.Arch, e.Err, e.Log, e.Tail), "\n")
}

func (e *BuildError) Unwrap() error { return e.Err }

// TestError is a test that cannot run as it is configured.
type TestError struct {
	Test, Arch string
	Err        error
}

func (e *TestError) Error() string { return fmt.Sprintf("test %s for %s: %v", e.Test, e.Arch, e.Err) }

func (e *TestError) Unwrap() error { return e.Err }

// TargetArch returns what libbpf's bpf_tracing.h wants behind __TARGET_ARCH_.
func TargetArch(goarch string) string {
	switch goarch {
	case "amd64":
		return "x86"
	case "ppc64le":
		return "powerpc"
	case "riscv64":
		return "riscv"
	case "s390x":
		return "s390"
	}
	return goarch
}

// variant is one way to build the tests of one architecture.
type variant struct {
	arch string
	root string // folder for the build folder, the sidecars and the log
	// policy is a file that says how functions are instrumented, or [NoPolicy].
	policy string
	guest  string // where the build folder's content goes in the guest
}

func (v variant) buildDir() string { return filepath.Join(v.root, "files") }
func (v variant) metaDir() string  { return filepath.Join(v.root, "meta") }

// main is the build that a run is about.
func (r *Runner) main(arch string) variant {
	return variant{arch, filepath.Join(r.Out, "build", arch), r.policyEnv(), guestDir}
}

// buildEnv is the environment of a build script, documented in docs/config.md.
func (r *Runner) buildEnv(v variant) []string {
	arch := v.arch
	env := append(os.Environ(), r.Env...)
	env = append(env,
		"GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0",
		"CLANG="+r.Clang, "BPF2GO_CC="+r.Clang,
		"BPFCOV_ARCH="+arch, "BPFCOV_TARGET_ARCH="+TargetArch(arch),
		"BPFCOV_BUILD_DIR="+v.buildDir(),
		"BPFCOV_META_DIR="+v.metaDir(),
		"BPFCOV_POLICY="+v.policy)
	if v.policy != NoPolicy {
		// ccache(1): what it has of another policy is another object.
		extra := v.policy
		if own := os.Getenv("CCACHE_EXTRAFILES"); own != "" {
			extra = own + ":" + extra
		}
		env = append(env, "CCACHE_EXTRAFILES="+extra)
	}
	if os.Getenv("BPF2GO_STRIP") == "" && r.Strip != "" {
		// bpf2go derives the strip tool's name from a compiler that is called clang-N only.
		env = append(env, "BPF2GO_STRIP="+r.Strip)
	}
	return env
}

// build runs the build script for one architecture. Its output goes to build/ARCH/build.log.
func (r *Runner) build(ctx context.Context, v variant) error {
	for _, dir := range []string{v.buildDir(), v.metaDir()} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	if r.Config.Build == "" {
		return nil
	}
	logPath := filepath.Join(v.root, "build.log")
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-e", "-c", r.Config.Build)
	cmd.Dir = r.Config.Dir
	cmd.Env = r.buildEnv(v)
	cmd.Stdout, cmd.Stderr = log, log
	// The script's own children must not outlive a Ctrl-C.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &BuildError{Arch: v.arch, Err: err, Log: logPath, Tail: tail(logPath, 20)}
	}
	return nil
}

// Build runs the build script for one architecture, without anything else of a run, and returns the folder that it was given for its files.
func (r *Runner) Build(ctx context.Context, arch string) (dir string, err error) {
	if err := r.openPolicy(); err != nil {
		return "", err
	}
	v := r.main(arch)
	return v.buildDir(), r.build(ctx, v)
}

// tail returns the last n lines of a file, at most 8 KiB.
func tail(path string, n int) string {
	const most = 8 << 10
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > most {
		if _, err := f.Seek(-most, 2); err != nil {
			return ""
		}
	}
	b := make([]byte, most)
	got, _ := f.Read(b)
	lines := strings.Split(strings.TrimRight(string(b[:got]), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// guestDir is the working folder of tests in the guest: the build folder's content and each test's files.
const guestDir = "/test"

// guestFiles lists what the tests of a build need in the guest.
func (r *Runner) guestFiles(v variant) ([]initramfs.File, error) {
	files, err := treeFiles(v.buildDir(), v.guest)
	if err != nil {
		return nil, err
	}
	// A test that takes everything from the host needs a folder to run in all the same.
	files = append(files, initramfs.File{Path: v.guest, Mode: fs.ModeDir | 0o755})
	for _, t := range r.Config.Tests {
		for _, glob := range t.Files {
			more, err := globFiles(r.Config.Dir, glob, v.guest)
			if err != nil {
				return nil, &TestError{t.Name, v.arch, err}
			}
			files = append(files, more...)
		}
	}
	return files, nil
}

// dedupe sorts files by path; of several with one path the first stays. A test's program is listed by the build
// folder and again by its closure.
func dedupe(files []initramfs.File) []initramfs.File {
	sort.SliceStable(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	return slices.CompactFunc(files, func(a, b initramfs.File) bool { return a.Path == b.Path })
}

// treeFiles lists the regular files and symbolic links below dir, to stand below guest.
func treeFiles(dir, guest string) ([]initramfs.File, error) {
	var files []initramfs.File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, err := hostFile(path, filepath.Join(guest, rel))
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// hostFile describes one file of the host; a symbolic link is followed, so that it may lead anywhere.
func hostFile(path, guest string) (initramfs.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return initramfs.File{}, err
	}
	if !st.Mode().IsRegular() {
		return initramfs.File{}, fmt.Errorf("%s: is neither a file nor a folder", path)
	}
	return initramfs.File{Path: guest, Mode: st.Mode().Perm(), Source: path}, nil
}

// globFiles lists the files of dir that glob matches, and what is in the folders, to stand below guest.
func globFiles(dir, glob, guest string) ([]initramfs.File, error) {
	if !filepath.IsLocal(glob) {
		return nil, fmt.Errorf("files: %q leads out of the folder of the configuration file", glob)
	}
	matches, err := filepath.Glob(filepath.Join(dir, glob))
	if err != nil {
		return nil, fmt.Errorf("files: %q: %w", glob, err)
	}
	if len(matches) == 0 {
		return nil, fmt.Errorf("files: %q matches nothing in %s", glob, dir)
	}
	var files []initramfs.File
	for _, m := range matches {
		rel, err := filepath.Rel(dir, m)
		if err != nil {
			return nil, err
		}
		st, err := os.Stat(m)
		if err != nil {
			return nil, err
		}
		if st.IsDir() {
			more, err := treeFiles(m, filepath.Join(guest, rel))
			if err != nil {
				return nil, err
			}
			files = append(files, more...)
			continue
		}
		f, err := hostFile(m, filepath.Join(guest, rel))
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// ErrNoTests is what a run without anything to run says.
var ErrNoTests = errors.New("no tests: name some in bpfcov.yaml (tests: [{command: [./my.test]}]) or give a command behind --")

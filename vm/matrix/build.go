package matrix

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
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

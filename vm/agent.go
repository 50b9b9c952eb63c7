package vm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
)

// ErrNoAgent is wrapped when there is no agent binary and none can be built.
var ErrNoAgent = errors.New("no agent binary")

const agent = "bpfcov-agent"

// LookAgent returns bpfcov-agent-GOARCH next to the running program. The error wraps [ErrNoAgent].
func LookAgent(arch string) (string, error) { return look(agent, arch) }

func look(program, arch string) (string, error) {
	name := program + "-" + arch
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return "", fmt.Errorf("%w for %s: %w", ErrNoAgent, arch, err)
	}
	p := filepath.Join(filepath.Dir(self), name)
	if st, err := os.Stat(p); err != nil || !st.Mode().IsRegular() {
		return "", fmt.Errorf("%w for %s: %s is not next to %s; run make, or install Go", ErrNoAgent, arch, name, self)
	}
	return p, nil
}

// FindAgent returns the agent for a GOARCH: that of [LookAgent], or else one built with the Go toolchain: from the version
// that the running program was installed from (go install …@VERSION), else from the module that the current folder
// belongs to when that is or requires this one.
func FindAgent(ctx context.Context, arch string) (string, error) {
	return FindProgram(ctx, agent, arch)
}

// FindProgram is [FindAgent] for any of this module's programs for guests, by its name below cmd/.
func FindProgram(ctx context.Context, name, arch string) (string, error) {
	p, missing := look(name, arch)
	if missing == nil {
		return p, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w for %s: %w", ErrNoAgent, arch, err)
	}
	cache = filepath.Join(cache, "bpfcov", "agent")
	version := installedVersion()
	if version == "" {
		p, err = buildCached(ctx, cache, name, arch)
	} else {
		p = filepath.Join(cache, version, name+"-"+arch)
		if st, serr := os.Stat(p); serr == nil && st.Mode().IsRegular() {
			return p, nil // a version does not change, so that once is enough
		}
		if err = buildVersion(ctx, name, arch, version, p); err != nil {
			err = fmt.Errorf("version %s: %w", version, err)
		}
	}
	switch {
	case err == nil:
		return p, nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	}
	return "", fmt.Errorf("%w; and building it failed: %w", missing, err)
}

// programAge is when a program that was built into the cache is one that nobody uses any more.
const programAge = 30 * 24 * time.Hour

// buildCached builds a program below a folder, in one of its own for each content: programs of other versions and checkouts
// stay what they are.
func buildCached(ctx context.Context, cache, name, arch string) (string, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(cache, ".new-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	file := name + "-" + arch
	if err := BuildProgram(ctx, name, arch, filepath.Join(dir, file)); err != nil {
		return "", err
	}
	return keepProgram(cache, dir, file)
}

// keepProgram moves dir, with the program file in it, to a name made of the program's content, and removes old ones.
func keepProgram(cache, dir, file string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	keep := filepath.Join(cache, hex.EncodeToString(sum[:12]))
	p := filepath.Join(keep, file)
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(dir, keep); err != nil {
		if _, serr := os.Stat(p); serr != nil { // it was there before
			return "", err
		}
	}
	now := time.Now()
	if err := os.Chtimes(keep, now, now); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(cache)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "v") { // an installed version
			continue
		}
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > programAge {
			os.RemoveAll(filepath.Join(cache, e.Name()))
		}
	}
	return p, nil
}

// BuildAgent builds the agent for a GOARCH into the file out, static and without symbols, from the module
// that the current folder belongs to.
func BuildAgent(ctx context.Context, arch, out string) error {
	return BuildProgram(ctx, agent, arch, out)
}

const modulePath = "github.com/bpfcov/bpfcov"

// installedVersion is the version that this program was installed as by go install MODULE@VERSION, or "": a build in a
// checkout has none, or one that no proxy has.
func installedVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Path != modulePath || info.Main.Sum == "" {
		return ""
	}
	return info.Main.Version
}

// buildVersion builds a program of one version of the module, which the go command fetches and verifies as it did for
// the running program.
func buildVersion(ctx context.Context, name, arch, version, out string) error {
	dir, err := os.MkdirTemp("", "bpfcov-agent-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	mod := fmt.Sprintf("module agent\n\ngo 1.21\n\nrequire %s %s\n", modulePath, version)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o644); err != nil {
		return err
	}
	return goBuild(ctx, dir, name, arch, out, "-mod=mod")
}

// BuildProgram is [BuildAgent] for any of this module's programs for guests, by its name below cmd/.
func BuildProgram(ctx context.Context, name, arch, out string) error {
	return goBuild(ctx, "", name, arch, out)
}

// goBuild builds a program in a folder, "" being the current one.
func goBuild(ctx context.Context, dir, name, arch, out string, flags ...string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(out), ".build-*") // others may be using out
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	bin := filepath.Join(tmp, "agent")
	// What is built depends on the source alone, and not on the commit: saved guests stay good for it.
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", bin}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, modulePath+"/cmd/"+name)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		msg := strings.TrimSpace(string(text))
		if msg == "" {
			return err
		}
		return fmt.Errorf("go build: %w: %s", err, msg)
	}
	return os.Rename(bin, out)
}

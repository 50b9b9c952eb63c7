package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// FindAgent returns the agent for a GOARCH: that of [LookAgent], or else one built from the module's source with
// the Go toolchain, which works wherever "go build" finds the module.
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
	out := filepath.Join(cache, "bpfcov", "agent", name+"-"+arch)
	if err := BuildProgram(ctx, name, arch, out); err != nil {
		return "", fmt.Errorf("%w; and building it failed: %w", missing, err)
	}
	return out, nil
}

// BuildAgent builds the agent for a GOARCH into the file out, static and without symbols, from the module
// that the current folder belongs to.
func BuildAgent(ctx context.Context, arch, out string) error {
	return BuildProgram(ctx, agent, arch, out)
}

// BuildProgram is [BuildAgent] for any of this module's programs for guests, by its name below cmd/.
func BuildProgram(ctx context.Context, name, arch, out string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(out), ".build-*") // others may be using out
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	bin := filepath.Join(tmp, "agent")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "github.com/bpfcov/bpfcov/cmd/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=")
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

package qemu

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Accel is an accelerator and the reason for its choice, for people: "slow" is nearly always "no KVM".
type Accel struct {
	Name   string `json:"name"` // TCG or KVM
	Reason string `json:"reason"`
}

func (a Accel) String() string { return fmt.Sprintf("%s (%s)", a.Name, a.Reason) }

// Probe finds out what this machine's QEMU can do, by trying. Answers are cached until the machine is
// rebooted or QEMU is replaced.
type Probe struct {
	Arch string // GOARCH of the guest
	// Binary is the emulator; empty means the architecture's, from PATH.
	Binary string
	// Kernel is an image that boots, used to try KVM.
	Kernel string
	// CacheDir holds the answers; empty means a folder of the user's cache.
	CacheDir string
}

// probeTimeout is for a kernel to come to the point where it misses a root file system: under working KVM below
// a second, in a half-working one never.
const probeTimeout = 20 * time.Second

// Accel chooses the accelerator. That /dev/kvm can be opened proves nothing (paravirtual devices without VMX or SVM
// make QEMU abort or hang), so a kernel is booted with it once. The error is ctx's or that of a missing
// QEMU; lack of KVM is none.
func (p Probe) Accel(ctx context.Context) (Accel, error) {
	if reason := noKVM(p.Arch); reason != "" {
		return Accel{TCG, reason}, nil
	}
	a := Accel{}
	err := p.cached(ctx, "kvm", &a, func() error {
		reason, err := p.bootKVM(ctx)
		if err != nil {
			return err
		}
		if reason != "" {
			a = Accel{TCG, reason}
		} else {
			a = Accel{KVM, "a probe boot with /dev/kvm worked"}
		}
		return nil
	})
	return a, err
}

// noKVM tells cheaply why KVM cannot work, or "".
func noKVM(arch string) string {
	if runtime.GOOS != "linux" {
		return "KVM needs Linux, this is " + runtime.GOOS
	}
	if runtime.GOARCH != arch {
		return fmt.Sprintf("the host is %s, the guest %s", runtime.GOARCH, arch)
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "there is no /dev/kvm"
	case errors.Is(err, os.ErrPermission):
		return "/dev/kvm: permission denied; is the user in the group kvm?"
	case err != nil:
		return err.Error()
	}
	f.Close()
	if arch == "amd64" {
		b, err := os.ReadFile("/proc/cpuinfo")
		if err != nil {
			return err.Error()
		}
		if !cpuFlags(b, "vmx", "svm") {
			return "/dev/kvm opens, but the CPU shows neither vmx nor svm"
		}
	}
	return ""
}

// cpuFlags reports whether the first processor of a /proc/cpuinfo has one of the flags.
func cpuFlags(cpuinfo []byte, want ...string) bool {
	for line := range bytes.Lines(cpuinfo) {
		name, value, ok := strings.Cut(string(line), ":")
		if !ok || strings.TrimSpace(name) != "flags" {
			continue
		}
		for _, f := range strings.Fields(value) {
			for _, w := range want {
				if f == w {
					return true
				}
			}
		}
		return false
	}
	return false
}

// bootKVM boots the kernel without a root: one that comes as far as to panic about it works. The
// answer is why it does not, or "".
func (p Probe) bootKVM(ctx context.Context) (reason string, err error) {
	if p.Kernel == "" {
		return "no kernel to try KVM with", nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, errProbeTimeout)
	defer cancel()
	v, err := Start(ctx, Config{
		Arch: p.Arch, Binary: p.Binary, Kernel: p.Kernel, Accel: KVM, MemoryMiB: 256, NoPort: true,
	})
	if err != nil {
		return "", err
	}
	err = v.Wait()
	out := v.Console()
	v.Close()
	switch {
	case bytes.Contains(out, []byte("Kernel panic - not syncing: VFS")):
		return "", nil
	case errors.Is(context.Cause(ctx), errProbeTimeout):
		return fmt.Sprintf("/dev/kvm opens, but a probe boot with it did not come up in %v", probeTimeout), nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "/dev/kvm opens, but a probe boot with it failed: " + lastLine(err.Error()), nil
	}
	return "/dev/kvm opens, but a kernel booted with it went no further than: " + lastLine(string(out)), nil
}

var errProbeTimeout = errors.New("probe timed out")

func lastLine(s string) string {
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) == 0 {
		return "(nothing)"
	}
	return strings.TrimSpace(lines[len(lines)-1])
}

// Sandbox reports whether this QEMU accepts its seccomp sandbox with everything denied; some builds have none.
func (p Probe) Sandbox(ctx context.Context) (bool, error) {
	ok := false
	err := p.cached(ctx, "sandbox", &ok, func() error {
		bin, err := p.binary()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, bin, "-machine", "none", "-nodefaults", "-no-user-config", "-display", "none",
			"-sandbox", sandboxOn, "-monitor", "stdio")
		cmd.Stdin = strings.NewReader("quit\n")
		ok = cmd.Run() == nil
		return nil
	})
	return ok, err
}

// Version returns QEMU's version, for example "7.2.22", or "" when it does not say.
func (p Probe) Version(ctx context.Context) (string, error) {
	version := ""
	err := p.cached(ctx, "version", &version, func() error {
		bin, err := p.binary()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		out, err := exec.CommandContext(ctx, bin, "--version").Output()
		if err != nil {
			return fmt.Errorf("%s --version: %w", bin, err)
		}
		version = parseVersion(string(out))
		return nil
	})
	return version, err
}

// parseVersion takes the number from "QEMU emulator version 7.2.22 (Debian …)".
func parseVersion(s string) string {
	_, rest, ok := strings.Cut(s, "version ")
	if !ok {
		return ""
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(rest)
	}
	return rest[:end]
}

func (p Probe) binary() (string, error) {
	if p.Binary != "" {
		return p.Binary, nil
	}
	return Find(p.Arch)
}

// cached reads the answer to a question from the cache, or asks and stores it. A cache that cannot be
// written is no error.
func (p Probe) cached(ctx context.Context, question string, answer any, ask func() error) error {
	file, err := p.cacheFile(question)
	if err != nil {
		return err
	}
	if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, answer) == nil {
		return nil
	}
	if err := ask(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	b, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	if os.MkdirAll(filepath.Dir(file), 0o755) != nil {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".probe-*")
	if err != nil {
		return nil
	}
	_, werr := tmp.Write(b)
	if cerr := tmp.Close(); werr != nil || cerr != nil || os.Rename(tmp.Name(), file) != nil {
		os.Remove(tmp.Name())
	}
	return nil
}

// cacheFile names the answer after all that it depends on.
func (p Probe) cacheFile(question string) (string, error) {
	bin, err := p.binary()
	if err != nil {
		return "", err
	}
	st, err := os.Stat(bin)
	if err != nil {
		return "", err
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	key := sha256.Sum256(fmt.Appendf(nil, "1\n%s\n%s\n%d\n%d\n%s", p.Arch, bin, st.Size(), st.ModTime().UnixNano(), boot))
	dir := p.CacheDir
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(cache, "bpfcov")
	}
	return filepath.Join(dir, "qemu", question+"-"+hex.EncodeToString(key[:8])+".json"), nil
}

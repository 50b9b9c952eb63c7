package instrument

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Supported LLVM majors, both inclusive.
const (
	MinLLVM = 14
	MaxLLVM = 23
)

// Clang is a real clang, never this program.
type Clang struct {
	Path        string // absolute
	VersionLine string // first line of --version, for example "Debian clang version 19.1.7 (3~deb12u1)"
	Version     string // "19.1.7"
	Major       int    // 19
}

// ErrNoClang means that there is no clang, or none that can be used.
var ErrNoClang = errors.New("no usable clang")

var (
	versionRE   = regexp.MustCompile(`clang version (\d+)\.(\d+)\.(\d+)\S*`)
	clangNameRE = regexp.MustCompile(`^clang(?:-(\d+))?$`)
)

// parseVersion fills in what a line of clang --version says.
func (c *Clang) parseVersion(line string) bool {
	m := versionRE.FindStringSubmatch(line)
	if m == nil {
		return false
	}
	c.VersionLine = strings.TrimSpace(line)
	c.Version = m[1] + "." + m[2] + "." + m[3]
	c.Major, _ = strconv.Atoi(m[1])
	return true
}

// ProbeClang asks the clang at path for its version.
func ProbeClang(ctx context.Context, path string) (Clang, error) {
	c := Clang{Path: path}
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = childEnv()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return c, fmt.Errorf("%s --version: %w%s", path, err, tail(stderr.String()))
	}
	line, _, _ := strings.Cut(string(out), "\n")
	if !c.parseVersion(line) {
		return c, fmt.Errorf("%s --version: %q does not name a clang version", path, line)
	}
	return c, nil
}

// FindClang returns the clang that calls go to: $BPFCOV_CLANG, else of all clang and clang-N on PATH
// the newest with a plugin ready or buildable, else the newest. It never returns this program, by
// whatever name PATH has it.
func FindClang(ctx context.Context) (Clang, error) {
	path, err := clangPath(ctx)
	if err != nil {
		return Clang{}, err
	}
	return ProbeClang(ctx, path)
}

// clangPath is FindClang without asking for the version, which costs a process.
func clangPath(ctx context.Context) (string, error) {
	if name := os.Getenv("BPFCOV_CLANG"); name != "" {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("BPFCOV_CLANG=%s: %w", name, err)
		}
		if isSelf(path) {
			return "", fmt.Errorf("BPFCOV_CLANG=%s is bpfcov itself: %w", name, ErrNoClang)
		}
		return filepath.Abs(path)
	}
	found := clangsOnPath()
	if len(found) == 0 {
		return "", fmt.Errorf("%w on PATH: install clang (clang-19 for example) or set BPFCOV_CLANG", ErrNoClang)
	}
	for _, c := range found {
		major := c.major
		if major == 0 {
			full, err := ProbeClang(ctx, c.path)
			if err != nil {
				continue
			}
			major = full.Major
		}
		if major < MinLLVM || major > MaxLLVM {
			continue
		}
		if PluginStatusOf(c.path, major).Usable() {
			return c.path, nil
		}
	}
	return found[0].path, nil
}

type namedClang struct {
	path  string
	major int // 0 for a plain "clang"
}

// clangsOnPath lists clang-N newest first, then clang. Of several files with one name the first in
// PATH wins, as for a shell.
func clangsOnPath() []namedClang {
	seen := map[string]bool{}
	var found []namedClang
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue // never run what happens to lie in the working folder
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			m := clangNameRE.FindStringSubmatch(e.Name())
			if m == nil || seen[e.Name()] {
				continue
			}
			path := filepath.Join(dir, e.Name())
			if !executable(path) || isSelf(path) {
				continue
			}
			seen[e.Name()] = true
			major, _ := strconv.Atoi(m[1])
			found = append(found, namedClang{path, major})
		}
	}
	slices.SortStableFunc(found, func(a, b namedClang) int { return cmp.Compare(b.major, a.major) })
	return found
}

func executable(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o111 != 0
}

// isSelf reports whether path is this program: the same file, possibly through links.
func isSelf(path string) bool {
	exe, err := os.Executable()
	if err != nil {
		return false
	}
	self, err := os.Stat(exe)
	if err != nil {
		return false
	}
	other, err := os.Stat(path)
	if err != nil {
		return false
	}
	if os.SameFile(self, other) {
		return true
	}
	// bin/bpfcov and bin/bpfcov-clang are different files of one program.
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return errors.Is(err, fs.ErrPermission)
	}
	base := filepath.Base(real)
	return base == "bpfcov-clang" || base == "bpfcov"
}

// guardVar marks the environment of the real clang, so that a script that leads back here ends in an
// error and not in a loop.
const guardVar = "BPFCOV_INSIDE"

func childEnv() []string { return append(os.Environ(), guardVar+"=1") }

// tail is the last lines of some tool's error output, indented for an error message.
func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return ""
	}
	const keep = 12
	if len(lines) > keep {
		lines = lines[len(lines)-keep:]
	}
	return ":\n\t" + strings.Join(lines, "\n\t")
}

package kernels

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// An aptRoot is a private apt: its own sources, lists, cache and dpkg status, for one suite and one architecture.
// Nothing of the host's apt is written, and no hook of the host's configuration runs.
type aptRoot struct {
	dir   string
	spec  string // that asked, for errors
	suite string
	arch  archInfo
	logf  func(string, ...any)

	hostSuites []string // that the host itself uses, for errors
}

// host is what a private root takes from the host's apt configuration.
type host struct {
	sources []source
	config  []string // lines of apt.conf: proxies, certificates, retries, how signatures are checked
	paths   map[string]string
}

// hostPaths are asked from apt-config: "/f" makes an absolute file name, "/d" a folder.
var hostPaths = [][2]string{
	{"NETRC", "Dir::Etc::netrc/f"},
	{"NETRCPARTS", "Dir::Etc::netrcparts/d"},
	{"TRUSTED", "Dir::Etc::trusted/f"},
	{"TRUSTEDPARTS", "Dir::Etc::trustedparts/d"},
	{"SOURCELIST", "Dir::Etc::sourcelist/f"},
	{"SOURCEPARTS", "Dir::Etc::sourceparts/d"},
}

// hostConfigPrefixes are the parts of the host's configuration that say how to reach and verify an archive.
// Everything else stays out, above all the hooks (APT::Update::Post-Invoke cleans the host's cache in containers).
var hostConfigPrefixes = []string{
	"Acquire::http", "Acquire::https", "Acquire::ftp", "Acquire::socks", "Acquire::tor", "Acquire::Retries", "Acquire::ForceIPv",
	"Acquire::Check-", "Acquire::Max-", "Acquire::Min-", "Acquire::AllowInsecure", "Acquire::AllowWeak",
	"Acquire::AllowDowngrade", "Acquire::By-Hash", "Acquire::Queue-Mode", "Acquire::Send-URI", "APT::Key::", "APT::Hashes::",
}

// readHost reads the host's apt configuration.
func readHost(ctx context.Context, spec string) (*host, error) {
	for _, tool := range []string{"apt-get", "apt-config", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, &ToolError{Tool: tool, Spec: spec, Err: err}
		}
	}
	h := &host{paths: map[string]string{}}
	dump, err := aptOutput(ctx, "", "apt-config", "dump")
	if err != nil {
		return nil, &FetchError{What: "the host's apt configuration", Err: err}
	}
	for line := range strings.Lines(string(dump)) {
		line = strings.TrimSpace(line)
		if slices.ContainsFunc(hostConfigPrefixes, func(p string) bool { return strings.HasPrefix(line, p) }) &&
			strings.HasSuffix(line, ";") {
			h.config = append(h.config, line)
		}
	}
	args := []string{"shell"}
	for _, p := range hostPaths {
		args = append(args, p[0], p[1])
	}
	out, err := aptOutput(ctx, "", "apt-config", args...)
	if err != nil {
		return nil, &FetchError{What: "the host's apt configuration", Err: err}
	}
	for line := range strings.Lines(string(out)) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok {
			h.paths[k] = strings.Trim(v, "'")
		}
	}
	files := []string{h.paths["SOURCELIST"]}
	parts, err := os.ReadDir(h.paths["SOURCEPARTS"])
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("apt sources: %w", err)
	}
	for _, e := range parts {
		if ext := filepath.Ext(e.Name()); ext == ".list" || ext == ".sources" {
			files = append(files, filepath.Join(h.paths["SOURCEPARTS"], e.Name()))
		}
	}
	for _, name := range files {
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("apt sources: %w", err)
		}
		parse := parseSourceList
		if strings.HasSuffix(name, ".sources") {
			parse = parseSources
		}
		s, err := parse(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("apt sources: %s: %w", name, err)
		}
		h.sources = append(h.sources, s...)
	}
	return h, nil
}

func (r *aptRoot) path(elem ...string) string {
	return filepath.Join(append([]string{r.dir}, elem...)...)
}

// prepare writes the configuration and the sources of the private root.
func (r *aptRoot) prepare(h *host) error {
	for _, src := range h.sources {
		for _, x := range src.suites {
			if !slices.Contains(r.hostSuites, x) {
				r.hostSuites = append(r.hostSuites, x)
			}
		}
	}
	ws := wantSuites(h.sources, r.suite)
	if len(ws) == 0 {
		return &FetchError{What: r.what(), Err: fmt.Errorf("the host's apt sources have no archive that could have suite %s", r.suite)}
	}
	for _, d := range []string{"lists/partial", "cache/archives/partial", "empty"} {
		if err := os.MkdirAll(r.path(d), 0o755); err != nil {
			return err
		}
	}
	var b strings.Builder
	b.WriteString("// Written by bpfcov; a private apt root, see apt.conf(5).\n")
	for _, l := range h.config {
		b.WriteString(l + "\n")
	}
	set := func(key, val string) { fmt.Fprintf(&b, "%s %q;\n", key, val) }
	// With APT_CONFIG this file is read first, so these two keep the host's files from being read after it.
	set("Dir::Etc::main", r.path("empty", "none"))
	set("Dir::Etc::parts", r.path("empty"))
	set("Dir::Etc::preferences", r.path("empty", "none"))
	set("Dir::Etc::preferencesparts", r.path("empty"))
	set("Dir::Etc::sourcelist", r.path("archive.sources"))
	set("Dir::Etc::sourceparts", r.path("empty"))
	set("Dir::Etc::netrc", h.paths["NETRC"])
	set("Dir::Etc::netrcparts", h.paths["NETRCPARTS"])
	set("Dir::Etc::trusted", h.paths["TRUSTED"])
	set("Dir::Etc::trustedparts", h.paths["TRUSTEDPARTS"])
	set("Dir::State", r.dir)
	set("Dir::State::lists", r.path("lists"))
	set("Dir::State::status", r.path("status"))
	set("Dir::Cache", r.path("cache"))
	set("Dir::Cache::archives", r.path("cache", "archives"))
	set("Dir::Cache::pkgcache", "") // 100 MB on disk to save a second
	set("Dir::Cache::srcpkgcache", "")
	set("Dir::Log", r.path("cache"))
	set("APT::Architecture", r.arch.dpkg)
	fmt.Fprintf(&b, "APT::Architectures { %q; };\n", r.arch.dpkg)
	set("Acquire::Languages", "none")
	set("Acquire::GzipIndexes", "true")
	set("Acquire::PDiffs", "false")
	set("APT::Install-Recommends", "false")
	// apt as root fetches as user _apt, who cannot enter root's cache folder.
	if os.Getuid() == 0 {
		set("APT::Sandbox::User", "root")
	}
	// Proxies and mirrors may hold passwords.
	if err := os.WriteFile(r.path("apt.conf"), []byte(b.String()), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(r.path("status"), nil, 0o644); err != nil {
		return err
	}
	return os.WriteFile(r.path("archive.sources"), []byte(writeSources(ws, r.arch.dpkg)), 0o600)
}

func (r *aptRoot) what() string { return "index of " + r.suite + " for " + r.arch.dpkg }

// update runs apt-get update. Suites that do not exist are no error as long as one does.
func (r *aptRoot) update(ctx context.Context) error {
	r.logf("fetching the %s", r.what())
	out, err := aptOutput(ctx, r.path("apt.conf"), "apt-get", "update", "-q")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	idx, ierr := r.indexFiles(ctx)
	if ierr != nil {
		return ierr
	}
	if !slices.ContainsFunc(idx, func(f indexFile) bool { return f.suite == r.suite || f.release == r.suite || f.codename == r.suite }) {
		absent, other := 0, 0
		for line := range strings.Lines(string(out)) {
			switch {
			case strings.Contains(line, "does not have a Release file"):
				absent++
			case strings.HasPrefix(line, "E: "), strings.HasPrefix(line, "W: Failed to fetch"):
				other++
			}
		}
		if err != nil && absent > 0 && other == 0 {
			return &NoMatchError{Spec: r.spec, Arch: r.arch.goarch, NoSuite: true, Suites: r.hostSuites}
		}
		if err == nil {
			err = errors.New("no archive of the host's apt sources could be reached")
		}
		return &FetchError{What: r.what(), Output: telling(out), Err: err}
	}
	for _, l := range strings.Split(string(out), "\n") {
		if strings.HasPrefix(l, "W: ") && !strings.Contains(l, "404") {
			r.logf("apt: %s", strings.TrimPrefix(l, "W: "))
		}
	}
	return nil
}

type indexFile struct{ name, release, suite, codename string }

// indexFiles lists the package indexes that apt has fetched and verified.
func (r *aptRoot) indexFiles(ctx context.Context) ([]indexFile, error) {
	out, err := aptOutput(ctx, r.path("apt.conf"), "apt-get", "indextargets",
		"--format", "$(CREATED_BY)\t$(FILENAME)\t$(RELEASE)\t$(SUITE)\t$(CODENAME)")
	if err != nil {
		return nil, &FetchError{What: r.what(), Output: telling(out), Err: err}
	}
	var files []indexFile
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) == 5 && f[0] == "Packages" {
			files = append(files, indexFile{f[1], f[2], f[3], f[4]})
		}
	}
	return files, nil
}

// download fetches and verifies packages into dir and returns the files, in the order of pkgs.
func (r *aptRoot) download(ctx context.Context, dir string, pkgs []*debPackage) ([]string, error) {
	args := []string{"download", "-q"}
	for _, p := range pkgs {
		if p.Version == "" { // whichever there is
			args = append(args, p.Name)
			continue
		}
		args = append(args, p.Name+"="+p.Version)
	}
	cmd := aptCommand(ctx, r.path("apt.conf"), "apt-get", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, &FetchError{What: strings.Join(args[2:], " "), Output: telling(out), Err: err}
	}
	var files []string
	for _, p := range pkgs {
		m, err := filepath.Glob(filepath.Join(dir, p.Name+"_*.deb"))
		if err != nil || len(m) != 1 {
			return nil, &FetchError{What: p.Name + "=" + p.Version, Err: fmt.Errorf("apt-get download left %d files of that name", len(m))}
		}
		files = append(files, m[0])
	}
	return files, nil
}

func aptCommand(ctx context.Context, conf, tool string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	if conf != "" {
		cmd.Env = append(cmd.Env, "APT_CONFIG="+conf)
	}
	return cmd
}

// aptOutput runs an apt tool and returns its output, errors included.
func aptOutput(ctx context.Context, conf, tool string, args ...string) ([]byte, error) {
	cmd := aptCommand(ctx, conf, tool, args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	var errs bytes.Buffer
	cmd.Stderr = &errs
	err := cmd.Run()
	if err != nil || tool == "apt-get" && args[0] == "update" {
		out.Write(errs.Bytes())
	}
	return out.Bytes(), err
}

// telling picks the lines of apt's output that say what went wrong: the errors, else the warnings.
func telling(out []byte) string {
	for _, prefixes := range [][]string{{"E: ", "W: GPG error"}, {"W: Failed"}, {"W: ", "Err:"}} {
		var lines []string
		for line := range strings.Lines(string(out)) {
			line = strings.TrimSpace(line)
			for _, p := range prefixes {
				if strings.HasPrefix(line, p) && !slices.Contains(lines, line) && len(lines) < 8 {
					lines = append(lines, line)
				}
			}
		}
		if len(lines) > 0 {
			return strings.Join(lines, "\n")
		}
	}
	return ""
}

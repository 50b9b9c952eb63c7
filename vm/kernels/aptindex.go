package kernels

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

const (
	maxPackages = 1 << 16 // kernel packages of one suite and architecture
	indexFresh  = 10 * time.Minute
	maxGone     = 16 // kernels to try when the archive does not hold what it lists
)

// A debPackage is what an index says about one binary package.
type debPackage struct {
	Name    string
	Version string
	Depends string // Pre-Depends too
	Size    int64
	Suite   string // of the index
}

// kernelPackageRE matches the packages that kernels are made of. Up to 7.1 or so linux-image-* holds everything;
// later it is empty and depends on the three others.
var kernelPackageRE = regexp.MustCompile(`^linux-(image|binary|base|modules)-(unsigned-)?([0-9][0-9A-Za-z.+~-]*)$`)

// metaPackageRE matches the packages that stand for a suite's own kernel: linux-image-amd64, linux-image-cloud-arm64,
// linux-image-generic. They depend on the image of the moment.
var metaPackageRE = regexp.MustCompile(`^linux-image-[a-z][0-9a-z-]*$`)

const packageField = "Package: "

// index returns the kernel packages of the suite: of the last update, or after a new one when there was none or
// fresh is set. updated tells that they are so young that asking again is of no use.
func (r *aptRoot) index(ctx context.Context, h func() (*host, error), fresh bool) (pkgs []*debPackage, updated bool, err error) {
	if !fresh {
		b, err := os.ReadFile(r.path("index.json"))
		if err == nil && json.Unmarshal(b, &pkgs) == nil {
			st, err := os.Stat(r.path("index.json"))
			return pkgs, err == nil && time.Since(st.ModTime()) < indexFresh, nil
		}
	}
	host, err := h()
	if err != nil {
		return nil, false, err
	}
	if err := r.prepare(host); err != nil {
		return nil, false, err
	}
	if err := r.update(ctx); err != nil {
		return nil, false, err
	}
	files, err := r.indexFiles(ctx)
	if err != nil {
		return nil, false, err
	}
	pkgs = []*debPackage{}
	for _, f := range files {
		p, err := readIndex(f.name, f.release)
		if err != nil {
			return nil, false, &FetchError{What: r.what(), Err: fmt.Errorf("%s: %w", filepath.Base(f.name), err)}
		}
		if pkgs = append(pkgs, p...); len(pkgs) > maxPackages {
			return nil, false, &FetchError{What: r.what(), Err: fmt.Errorf("more than %d kernel packages", maxPackages)}
		}
	}
	b, err := json.Marshal(pkgs)
	if err != nil {
		return nil, false, err
	}
	return pkgs, true, writeFile(r.path("index.json"), b)
}

// readIndex reads the kernel packages out of a Packages file, which apt keeps compressed in one of several ways.
func readIndex(name, suite string) ([]*debPackage, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var in io.Reader = f
	switch filepath.Ext(name) {
	case ".lz4":
		in = lz4.NewReader(f)
	case ".gz":
		if in, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	case ".xz":
		if in, err = xz.NewReader(f); err != nil {
			return nil, err
		}
	case ".zst":
		z, err := zstd.NewReader(f)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		in = z
	}
	return readPackages(in, suite)
}

func readPackages(in io.Reader, suite string) ([]*debPackage, error) {
	var out []*debPackage
	err := readStanzas(in, func(first string) bool {
		name, ok := strings.CutPrefix(first, packageField)
		return ok && strings.HasPrefix(name, "linux-") && (kernelPackageRE.MatchString(name) || metaPackageRE.MatchString(name))
	}, func(s stanza) error {
		size, _ := strconv.ParseInt(s["size"], 10, 64)
		dep := s["depends"]
		if pre := s["pre-depends"]; pre != "" {
			dep = strings.Trim(dep+", "+pre, ", ")
		}
		if !safeName(s["version"]) {
			return fmt.Errorf("package %s: version %.60q", s["package"], s["version"])
		}
		out = append(out, &debPackage{Name: s["package"], Version: s["version"], Depends: dep, Size: size, Suite: suite})
		return nil
	})
	return out, err
}

var safeNameRE = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+~:_-]{0,250}$`)

// safeName reports whether a name of a package can be a file name and an argument.
func safeName(s string) bool { return safeNameRE.MatchString(s) && !strings.Contains(s, "..") }

// A dependency is one alternative of a Depends field.
type dependency struct {
	name    string
	version string // of "(= version)", else ""
}

// parseDepends splits a Depends field into groups of alternatives.
func parseDepends(field string) [][]dependency {
	var out [][]dependency
	for group := range strings.SplitSeq(field, ",") {
		var alts []dependency
		for alt := range strings.SplitSeq(group, "|") {
			name, cond, _ := strings.Cut(strings.TrimSpace(alt), "(")
			name = strings.TrimSpace(name)
			name, _, _ = strings.Cut(name, ":") // linux-x:any
			if name == "" {
				continue
			}
			d := dependency{name: name}
			if v, ok := strings.CutPrefix(strings.TrimSpace(cond), "="); ok {
				d.version = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), ")"))
			}
			alts = append(alts, d)
		}
		if len(alts) > 0 {
			out = append(out, alts)
		}
	}
	return out
}

// candidates turns the packages of a suite into kernels, best first. Left out are packages of debug symbols,
// templates and metapackages ("linux-image-6.1-amd64" depends on the newest image of 6.1), and kernels of which a
// part is not in the index.
func candidates(pkgs []*debPackage, suite string, a archInfo) []Candidate {
	byName := map[string][]*debPackage{}
	for _, p := range pkgs {
		byName[p.Name] = append(byName[p.Name], p)
	}
	best := map[string]Candidate{}
	for _, p := range pkgs {
		m := kernelPackageRE.FindStringSubmatch(p.Name)
		if m == nil || m[1] != "image" {
			continue
		}
		release, unsigned := strings.CutSuffix(m[3], "-unsigned")
		unsigned = unsigned || m[2] != ""
		if strings.HasSuffix(release, "-dbg") || strings.HasSuffix(release, "-dbgsym") || strings.HasSuffix(release, "-template") {
			continue
		}
		version, raw := splitRelease(release)
		if raw == "" || majorMinor(version) == "" || !safeName(release) {
			continue
		}
		deps, ok := closure(p, release, byName)
		if !ok {
			continue
		}
		c := Candidate{
			Spec:    "apt:" + suite + "/" + p.Version + "@" + flavourOf(raw, a),
			Release: release, Version: majorMinor(version), Arch: a.goarch, Flavour: flavourOf(raw, a),
			Suite: p.Suite, Package: p.Name + "=" + p.Version, Download: p.Size, pkg: p, deps: deps,
		}
		for _, d := range deps {
			c.Download += d.Size
		}
		old, dup := best[release]
		if dup {
			v := compareVersions(p.Version, old.pkg.Version)
			if v < 0 || v == 0 && unsigned {
				continue
			}
		}
		best[release] = c
	}
	out := make([]Candidate, 0, len(best))
	for _, c := range best {
		out = append(out, c)
	}
	rank := func(c Candidate) int {
		if i := slices.Index(a.prefer, c.Flavour); i >= 0 {
			return i
		}
		return len(a.prefer)
	}
	slices.SortFunc(out, func(x, y Candidate) int {
		return cmp.Or(
			compareVersions(y.pkg.Version, x.pkg.Version),
			cmp.Compare(rank(x), rank(y)),
			cmp.Compare(x.Flavour, y.Flavour),
			compareVersions(y.Release, x.Release),
		)
	})
	return out
}

// closure gives the packages with parts of the kernel that p depends on. It is false when p is a metapackage or a
// part is missing. linux-base-* may be missing, and is in trixie-backports for 6.18: it has the configuration and the
// list of built-in modules, without which a kernel boots.
func closure(p *debPackage, release string, byName map[string][]*debPackage) ([]*debPackage, bool) {
	var out []*debPackage
	seen := map[string]bool{p.Name: true}
	for queue := []*debPackage{p}; len(queue) > 0; queue = queue[1:] {
		for _, group := range parseDepends(queue[0].Depends) {
			concerns, base := false, false
			var found *debPackage
			for _, d := range group {
				m := kernelPackageRE.FindStringSubmatch(d.name)
				if m == nil {
					continue
				}
				concerns, base = true, m[1] == "base"
				if m[1] == "image" && m[3] != release {
					return nil, false
				}
				for _, q := range byName[d.name] {
					if found == nil && (d.version == "" || d.version == q.Version) {
						found = q
					}
				}
			}
			if !concerns {
				continue
			}
			if found == nil && base {
				continue
			}
			if found == nil {
				return nil, false
			}
			if !seen[found.Name] {
				seen[found.Name] = true
				out = append(out, found)
				queue = append(queue, found)
			}
		}
	}
	slices.SortFunc(out, func(x, y *debPackage) int { return strings.Compare(x.Name, y.Name) })
	return out, true
}

// ownSeries gives the kernel version, "6.1", that a suite's own metapackage stands for, "" when it has none. Suites
// hold others beside it: bookworm-security has 6.12 too, for those who ask for it.
func ownSeries(pkgs []*debPackage, a archInfo) string {
	var release, version string
	for _, p := range pkgs {
		if p.Name != "linux-image-"+a.dpkg && p.Name != "linux-image-cloud-"+a.dpkg && p.Name != "linux-image-generic" {
			continue
		}
		for _, group := range parseDepends(p.Depends) {
			m := kernelPackageRE.FindStringSubmatch(group[0].name)
			if m != nil && m[1] == "image" && (release == "" || compareVersions(p.Version, version) > 0) {
				release, version = m[3], p.Version
			}
		}
	}
	return majorMinor(release)
}

// matches filters candidates by version and flavour. Without a version in the spec, the suite's own series is meant
// where it has one. Without a flavour, only kernels of the best preferred flavour that the match has are left;
// without any preferred one, all are.
func matches(cs []Candidate, sp spec, a archInfo, series string) []Candidate {
	if slices.Contains(keywords, sp.version) {
		keyword := sp.version
		sp.version = "*"
		return pickKeyword(matches(cs, sp, a, series), keyword)
	}
	own := sp.version == "" && slices.ContainsFunc(cs, func(c Candidate) bool { return c.Version == series })
	var out []Candidate
	for _, c := range cs {
		if own && c.Version != series {
			continue
		}
		if sp.flavour != "" && c.Flavour != sp.flavour {
			continue
		}
		version, _ := splitRelease(c.Release)
		if sp.version != "" && !matchVersion(sp.version, c.Version, version, c.Release, c.pkg.Version) {
			continue
		}
		out = append(out, c)
	}
	if sp.flavour != "" {
		return out
	}
	for _, f := range a.prefer {
		if slices.ContainsFunc(out, func(c Candidate) bool { return c.Flavour == f }) {
			return slices.DeleteFunc(out, func(c Candidate) bool { return c.Flavour != f })
		}
	}
	return out
}

// pickKeyword chooses among candidates, which are sorted newest first.
func pickKeyword(cs []Candidate, keyword string) []Candidate {
	if len(cs) == 0 {
		return nil
	}
	switch keyword {
	case keyNewest:
		return cs[:1]
	case keyOldest:
		return cs[len(cs)-1:]
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(cs), func(c Candidate) bool {
		dup := seen[c.Version]
		seen[c.Version] = true
		return dup
	})
}

func (s *Store) aptRoot(sp spec, a archInfo) (*aptRoot, error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	r := &aptRoot{dir: filepath.Join(dir, "apt", sp.suite+"-"+a.dpkg), spec: sp.String(), suite: sp.suite, arch: a, logf: s.logf}
	return r, os.MkdirAll(r.dir, 0o755)
}

// lockedRoot returns the private apt root for sp, held for this process alone until release is called, and the
// store kept from being pruned so long.
func (s *Store) lockedRoot(ctx context.Context, sp spec, a archInfo) (r *aptRoot, release func(), err error) {
	inUse, err := s.use(ctx)
	if err != nil {
		return nil, nil, err
	}
	if r, err = s.aptRoot(sp, a); err != nil {
		inUse()
		return nil, nil, err
	}
	unlock, err := lock(ctx, r.path("lock"))
	if err != nil {
		inUse()
		return nil, nil, err
	}
	return r, func() { unlock(); inUse() }, nil
}

func (s *Store) resolveApt(ctx context.Context, sp spec, a archInfo) ([]Candidate, error) {
	r, release, err := s.lockedRoot(ctx, sp, a)
	if err != nil {
		return nil, err
	}
	defer release()
	return s.resolveLocked(ctx, r, sp, a, s.Refresh)
}

// resolveLocked answers from the cached index, and asks the archives when that has no match or fresh is set.
func (s *Store) resolveLocked(ctx context.Context, r *aptRoot, sp spec, a archInfo, fresh bool) ([]Candidate, error) {
	h := func() (*host, error) { return readHost(ctx, sp.String()) }
	pkgs, updated, err := r.index(ctx, h, fresh)
	if err != nil {
		return nil, err
	}
	all := candidates(pkgs, sp.suite, a)
	found := matches(all, sp, a, ownSeries(pkgs, a))
	if len(found) == 0 && !updated {
		pkgs, _, err := r.index(ctx, h, true)
		var fe *FetchError
		switch {
		case err == nil:
			all = candidates(pkgs, sp.suite, a)
			found = matches(all, sp, a, ownSeries(pkgs, a))
		case errors.As(err, &fe):
			s.logf("%v", err) // the cached index says enough for a good answer
		default:
			return nil, err
		}
	}
	if len(found) == 0 {
		return nil, &NoMatchError{Spec: sp.String(), Arch: a.goarch, Have: all, Suites: []string{sp.suite}}
	}
	for i := range found {
		found[i].Stored = s.load(kernelID(found[i])) != nil
	}
	return found, nil
}

// pullApt gives the recorded kernel of the spec, else the best match: from the store, or fetched.
func (s *Store) pullApt(ctx context.Context, sp spec, a archInfo) (*Kernel, error) {
	if !s.Refresh {
		if k := s.recorded(sp, a); k != nil {
			return k, s.record(sp, a, k)
		}
	}
	r, release, err := s.lockedRoot(ctx, sp, a)
	if err != nil {
		return nil, err
	}
	defer release()
	found, err := s.resolveLocked(ctx, r, sp, a, s.Refresh)
	if err != nil {
		return nil, err
	}
	k, err := s.install(ctx, r, sp, found[0])
	var fe *FetchError
	if errors.As(err, &fe) && fe.gone() && !s.Refresh {
		// The index may be older than the archive, which drops superseded packages.
		s.logf("%s is not in the archive any more; fetching the index again", found[0].Package)
		if again, err2 := s.resolveLocked(ctx, r, sp, a, true); err2 == nil {
			found = again
			k, err = s.install(ctx, r, sp, found[0])
		}
	}
	// An archive may list what it does not hold: mirrors are not updated in one step.
	for _, c := range found[1:min(len(found), maxGone)] {
		if !errors.As(err, &fe) || !fe.gone() {
			break
		}
		s.logf("the archive lists %s and does not hold it; trying %s", fe.What, c.Package)
		k, err = s.install(ctx, r, sp, c)
	}
	if errors.As(err, &fe) && !s.Refresh {
		for _, c := range found {
			if c.Stored {
				s.logf("%v; taking %s, which is in the store", err, c.Release)
				k, err = s.install(ctx, r, sp, c)
				break
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return k, s.record(sp, a, k)
}

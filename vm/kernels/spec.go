package kernels

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

const maxSpec = 4096 // bytes of a spec, made absolute

type specKind int

const (
	kindApt specKind = iota
	kindFile
)

// A spec is a parsed kernel spec.
type spec struct {
	kind    specKind
	suite   string // apt
	version string // apt: version or glob, "" for any
	flavour string // apt: "" for the preferred one
	path    string // file, absolute
	modules string // file, absolute or ""
}

// String gives the canonical spelling, the key of the store's records.
func (s spec) String() string {
	if s.kind == kindFile {
		if s.modules != "" {
			return "file:" + s.path + ",modules=" + s.modules
		}
		return "file:" + s.path
	}
	out := "apt:" + s.suite
	if s.version != "" {
		out += "/" + s.version
	}
	if s.flavour != "" {
		out += "@" + s.flavour
	}
	return out
}

var (
	suiteRE   = regexp.MustCompile(`^[a-z][a-z0-9.+-]*$`)
	versionRE = regexp.MustCompile(`^[0-9*?\[][][0-9A-Za-z.+~*?^:-]*$`)
	flavourRE = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]*$`)
)

// ParseSpec checks the spelling of a kernel spec, without looking anything up, and returns its canonical form. An
// error is a [*SpecError].
func ParseSpec(text string) (string, error) {
	s, err := parseSpec(text)
	if err != nil {
		return "", err
	}
	return s.String(), nil
}

func parse(text, arch string) (spec, archInfo, error) {
	s, err := parseSpec(text)
	if err != nil {
		return spec{}, archInfo{}, err
	}
	a, err := findArch(arch)
	return s, a, err
}

func parseSpec(text string) (spec, error) {
	bad := func(format string, args ...any) (spec, error) {
		return spec{}, &SpecError{Spec: text, Reason: fmt.Sprintf(format, args...)}
	}
	kind, rest, ok := strings.Cut(text, ":")
	if !ok {
		return bad("want apt:SUITE[/VERSION][@FLAVOUR] or file:PATH[,modules=DIR]")
	}
	if len(text) > maxSpec || strings.ContainsAny(text, "\x00\n\r") {
		return bad("too long, or control characters in it")
	}
	switch kind {
	case "apt":
		s := spec{kind: kindApt}
		var has bool
		if rest, s.flavour, has = strings.Cut(rest, "@"); has && !flavourRE.MatchString(s.flavour) {
			return bad("flavour %q: want a name such as generic, cloud or rt after @", s.flavour)
		}
		if s.suite, s.version, has = strings.Cut(rest, "/"); has {
			if !versionRE.MatchString(s.version) {
				return bad("version %q: want a version or a glob such as 6.1 or 7.* after /", s.version)
			}
			if _, err := path.Match(s.version, ""); err != nil {
				return bad("version %q: %v", s.version, err)
			}
		}
		if !suiteRE.MatchString(s.suite) {
			return bad("suite %q: want the name of an apt suite such as bookworm or trixie-backports", s.suite)
		}
		return s, nil
	case "file":
		s := spec{kind: kindFile}
		var opt string
		s.path, opt, ok = strings.Cut(rest, ",")
		if ok {
			key, val, _ := strings.Cut(opt, "=")
			if key != "modules" || val == "" {
				return bad("option %q: the only one is modules=DIR", opt)
			}
			s.modules = val
		}
		if s.path == "" {
			return bad("want a path after file:")
		}
		var err error
		if s.path, err = filepath.Abs(s.path); err != nil {
			return bad("%v", err)
		}
		if s.modules != "" {
			if s.modules, err = filepath.Abs(s.modules); err != nil {
				return bad("%v", err)
			}
		}
		if len(s.String()) > maxSpec {
			return bad("too long")
		}
		return s, nil
	}
	return bad("unknown kind %q; want apt: or file:", kind)
}

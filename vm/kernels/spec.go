package kernels

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

const maxSpec = 4096 // bytes of a spec, made absolute

type specKind int

const (
	kindApt specKind = iota
	kindFile
	kindTar
	kindBucket
	kindOCI
	kindBuild
	kindHost
)

// A spec is a parsed kernel spec.
type spec struct {
	kind    specKind
	suite   string // apt
	version string // apt: version, glob or keyword, "" for any; bucket: DISTRO/VERSION, "" for any
	flavour string // apt: "" for the preferred one
	path    string // file, tar, bucket, build: absolute; oci: the reference
	modules string // file, absolute or ""
}

// String gives the canonical spelling, the key of the store's records.
func (s spec) String() string {
	switch s.kind {
	case kindTar:
		return "tar:" + s.path
	case kindBuild:
		return "build:" + s.path
	case kindOCI:
		return "oci:" + s.path
	case kindHost:
		return "host"
	case kindBucket:
		if s.version != "" {
			return "bucket:" + s.path + ",kernel=" + s.version
		}
		return "bucket:" + s.path
	case kindFile:
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

// keywords may stand for a version of an apt: spec: the newest or the oldest that the suite has, and the newest of
// each minor version. The last one means several kernels, see [Store.Expand].
var keywords = []string{keyNewest, keyOldest, keyEachMinor}

const (
	keyNewest    = "newest"
	keyOldest    = "oldest"
	keyEachMinor = "each-minor"
)

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

// specKinds are the kinds of specs that have a colon.
var specKinds = map[string]specKind{"apt": kindApt, "file": kindFile, "tar": kindTar, "bucket": kindBucket, "build": kindBuild, "oci": kindOCI}

// SplitSpecs splits a list of specs at its commas. A comma within a spec, as in file:PATH,modules=DIR, stays: the next spec
// begins with a kind.
func SplitSpecs(list string) []string {
	var specs []string
	for _, part := range strings.Split(list, ",") {
		kind, _, ok := strings.Cut(part, ":")
		_, known := specKinds[kind]
		if len(specs) == 0 || part == "host" || ok && known {
			specs = append(specs, part)
		} else {
			specs[len(specs)-1] += "," + part
		}
	}
	return specs
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
	if text == "host" {
		return spec{kind: kindHost}, nil
	}
	kind, rest, ok := strings.Cut(text, ":")
	if !ok {
		return bad("want apt:SUITE[/VERSION][@FLAVOUR], oci:REF, file:PATH[,modules=DIR], tar:FILE, bucket:DIR[,kernel=DISTRO/VERSION], build:DIR or host")
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
			if !versionRE.MatchString(s.version) && !slices.Contains(keywords, s.version) {
				return bad("version %q: want a version or a glob such as 6.1 or 7.*, or one of %s after /", s.version, strings.Join(keywords, ", "))
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
	k, ok := specKinds[kind]
	if !ok {
		return bad("unknown kind %q; want apt, oci, file, tar, bucket, build or host", kind)
	}
	s := spec{kind: k, path: rest}
	if k == kindBucket {
		if s.path, rest, ok = strings.Cut(rest, ","); ok {
			key, val, _ := strings.Cut(rest, "=")
			if _, err := path.Match(val, ""); key != "kernel" || val == "" || err != nil {
				return bad("option %q: the only one is kernel=DISTRO/VERSION, where both may be globs", rest)
			}
			s.version = val
		}
	}
	if s.path == "" {
		return bad("want something after %s:", kind)
	}
	if k == kindOCI {
		if _, err := name.ParseReference(s.path); err != nil {
			return bad("%v", err)
		}
		return s, nil
	}
	var err error
	if s.path, err = filepath.Abs(s.path); err != nil {
		return bad("%v", err)
	}
	if len(s.String()) > maxSpec {
		return bad("too long")
	}
	return s, nil
}

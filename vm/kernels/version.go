package kernels

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"
)

// compareVersions orders version strings as dpkg does (deb-version(7)): epoch, then what stands before the last "-",
// then what follows it; in each, runs of digits by value, everything else by letters before other characters, with
// "~" before the end. So 6.2 < 6.12, 7.3~rc7 < 7.3, and 6.12.107-1 < 6.12.107+deb13-1.
func compareVersions(a, b string) int {
	ae, a := cutEpoch(a)
	be, b := cutEpoch(b)
	au, ar := cutRevision(a)
	bu, br := cutRevision(b)
	return cmp.Or(compareNumbers(ae, be), comparePart(au, bu), comparePart(ar, br))
}

func comparePart(a, b string) int {
	for a != "" || b != "" {
		an, bn := nonDigits(a), nonDigits(b)
		if c := compareText(a[:an], b[:bn]); c != 0 {
			return c
		}
		a, b = a[an:], b[bn:]
		ad, bd := digits(a), digits(b)
		if c := compareNumbers(a[:ad], b[:bd]); c != 0 {
			return c
		}
		a, b = a[ad:], b[bd:]
	}
	return 0
}

func cutRevision(v string) (upstream, revision string) {
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return v[:i], v[i+1:]
	}
	return v, ""
}

func cutEpoch(v string) (epoch, rest string) {
	if e, r, ok := strings.Cut(v, ":"); ok && digits(e) == len(e) {
		return e, r
	}
	return "", v
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

func nonDigits(s string) int {
	n := 0
	for n < len(s) && !isDigit(s[n]) {
		n++
	}
	return n
}

func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func compareText(a, b string) int {
	weight := func(s string, i int) int {
		switch {
		case i >= len(s):
			return 0
		case s[i] == '~':
			return -1
		case 'a' <= s[i]|0x20 && s[i]|0x20 <= 'z':
			return int(s[i])
		}
		return int(s[i]) + 256
	}
	for i := 0; i < max(len(a), len(b)); i++ {
		if c := cmp.Compare(weight(a, i), weight(b, i)); c != 0 {
			return c
		}
	}
	return 0
}

var majorMinorRE = regexp.MustCompile(`^([0-9]+)\.([0-9]+)`)

// majorMinor gives "6.12" of "6.12.107+deb13-amd64" and of "6.12.107-1", "" of what is no version.
func majorMinor(release string) string { return majorMinorRE.FindString(release) }

var versionTokenRE = regexp.MustCompile(`^([0-9]+[.~+0-9a-z]*|rc[0-9]+)$`)

// splitRelease cuts the release of a distribution kernel into its version and its flavour:
//
//	6.1.0-53-cloud-amd64          6.1.0-53           cloud-amd64
//	6.12.107+deb13-arm64-16k      6.12.107+deb13     arm64-16k
//	6.1.0-0.deb11.48-amd64        6.1.0-0.deb11.48   amd64
//	5.10.0-30-686-pae             5.10.0-30          686-pae
//	6.8.0-31-generic              6.8.0-31           generic
func splitRelease(release string) (version, flavour string) {
	parts := strings.Split(release, "-")
	n := 1
	for n < len(parts) && versionTokenRE.MatchString(parts[n]) && !slices.Contains([]string{"686", "4kc", "5kc"}, parts[n]) {
		n++
	}
	return strings.Join(parts[:n], "-"), strings.Join(parts[n:], "-")
}

// flavourOf gives the name that a spec uses: without the name of the architecture, "generic" for what is left empty.
func flavourOf(raw string, a archInfo) string {
	var keep []string
	for p := range strings.SplitSeq(raw, "-") {
		if p != a.dpkg && p != a.uname && p != a.goarch && p != "powerpc64le" && p != "" {
			keep = append(keep, p)
		}
	}
	if len(keep) == 0 {
		return "generic"
	}
	return strings.Join(keep, "-")
}

// matchVersion reports whether a version pattern of a spec matches any of names. A pattern with a meta character is
// a glob over the whole name (path.Match). One without matches a name that begins with it and goes on with a new
// component: "6.1" matches 6.1.0-53 and 6.1.187-1, and not 6.12.
func matchVersion(pattern string, names ...string) bool {
	for _, n := range names {
		if strings.ContainsAny(pattern, "*?[") {
			if ok, err := path.Match(pattern, n); err == nil && ok {
				return true
			}
			continue
		}
		if rest, ok := strings.CutPrefix(n, pattern); ok && (rest == "" || strings.ContainsRune(".-+~", rune(rest[0]))) {
			return true
		}
	}
	return false
}

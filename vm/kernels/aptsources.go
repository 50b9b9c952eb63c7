package kernels

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// A wanted is one archive and the suites of it to read.
type wanted struct {
	uri        string
	suites     []string
	components []string
	options    map[string]string
}

// pockets are the endings of suites that belong to another suite.
var pockets = []string{"-updates", "-security", "-backports", "-backports-sloppy", "-proposed-updates", "-proposed", "-debug"}

// wantSuites tells which suites of the host's archives may have the kernels of suite. An archive of which the host
// uses a security suite only (Debian's) is asked for security suites only; any other for the suite itself, its
// updates and, because Ubuntu has all in one archive, its security suite. Whether they exist is found by trying.
func wantSuites(sources []source, suite string) []wanted {
	pocket := ""
	for _, p := range pockets {
		if strings.HasSuffix(suite, p) {
			pocket = p
		}
	}
	rolling := suite == "sid" || suite == "unstable" || suite == "experimental" || suite == "rc-buggy"

	type archive struct {
		wanted
		security, other bool
	}
	byURI := map[string]*archive{}
	var order []string
	for _, s := range sources {
		if len(s.components) == 0 {
			continue // a flat repository has no suites
		}
		comps := s.components
		if slices.Contains(comps, "main") {
			comps = []string{"main"} // kernels are there; contrib and non-free are not needed
		}
		for _, u := range s.uris {
			if strings.HasPrefix(u, "cdrom:") {
				continue
			}
			u = strings.TrimRight(u, "/")
			key := u + "\x00" + s.options["Signed-By"]
			a := byURI[key]
			if a == nil {
				a = &archive{wanted: wanted{uri: u, components: comps, options: s.options}}
				byURI[key] = a
				order = append(order, key)
			}
			for _, x := range s.suites {
				if strings.HasSuffix(x, "-security") || strings.HasSuffix(x, "/updates") {
					a.security = true
				} else {
					a.other = true
				}
			}
		}
	}
	var out []wanted
	for _, key := range order {
		a := byURI[key]
		securityOnly := a.security && !a.other
		switch {
		case pocket == "-security":
			if securityOnly || a.security {
				a.suites = []string{suite}
			}
		case securityOnly:
			if pocket == "" && !rolling {
				a.suites = []string{suite + "-security"}
			}
		case pocket != "" || rolling:
			a.suites = []string{suite}
		default:
			a.suites = []string{suite, suite + "-updates"}
			if a.security {
				a.suites = append(a.suites, suite+"-security")
			}
		}
		if len(a.suites) > 0 {
			out = append(out, a.wanted)
		}
	}
	return out
}

// writeSources gives the private root's sources as a deb822 file, one stanza for each suite so that a suite that
// does not exist spoils no other.
func writeSources(ws []wanted, dpkgArch string) string {
	var b strings.Builder
	for _, w := range ws {
		for _, s := range w.suites {
			fmt.Fprintf(&b, "Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nArchitectures: %s\n",
				w.uri, s, strings.Join(w.components, " "), dpkgArch)
			var keys []string
			for k := range w.options {
				keys = append(keys, k)
			}
			sort.Strings(keys)
			for _, k := range keys {
				fmt.Fprintf(&b, "%s: %s\n", k, indentValue(w.options[k]))
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// indentValue writes a value of several lines, an embedded key, as deb822 wants it.
func indentValue(v string) string {
	lines := strings.Split(v, "\n")
	for i, l := range lines[1:] {
		if l == "" {
			l = "."
		}
		lines[i+1] = " " + l
	}
	return strings.Join(lines, "\n")
}

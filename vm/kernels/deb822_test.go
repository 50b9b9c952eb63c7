package kernels

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSources(t *testing.T) {
	const text = `# a comment
Types: deb deb-src
URIs: http://mirror.test/debian/ http://other.test/debian
Suites: bookworm bookworm-updates
# in the middle
Components: main contrib
Signed-By: /usr/share/keyrings/a.gpg
Architectures: amd64

Enabled: no
Types: deb
URIs: http://disabled.test
Suites: x
Components: main

Types: deb-src
URIs: http://source.test
Suites: x
Components: main


Types: deb
URIs: http://key.test
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEYA
 -----END PGP PUBLIC KEY BLOCK-----
`
	got, err := parseSources(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []source{
		{
			uris: []string{"http://mirror.test/debian/", "http://other.test/debian"}, suites: []string{"bookworm", "bookworm-updates"},
			components: []string{"main", "contrib"}, options: map[string]string{"Signed-By": "/usr/share/keyrings/a.gpg"},
		},
		{
			uris: []string{"http://key.test"}, suites: []string{"trixie"}, components: []string{"main"},
			options: map[string]string{"Signed-By": "\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEYA\n-----END PGP PUBLIC KEY BLOCK-----"},
		},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(source{})); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	// The key must come out as it went in.
	out := writeSources([]wanted{{uri: "http://key.test", suites: []string{"sid"}, components: []string{"main"}, options: got[1].options}}, "arm64")
	again, err := parseSources(strings.NewReader(out))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	want = []source{{uris: []string{"http://key.test"}, suites: []string{"sid"}, components: []string{"main"}, options: got[1].options}}
	if d := cmp.Diff(want, again, cmp.AllowUnexported(source{})); d != "" {
		t.Errorf("written and read: want -, got +:\n%s", d)
	}
}

func TestParseSourceList(t *testing.T) {
	const text = `
# deb http://commented.test x main
deb http://mirror.test/debian bookworm main contrib # tail
deb [ arch=amd64,arm64 signed-by=/k/a.gpg,/k/b.gpg trusted=yes ] https://mirror.test/sec	bookworm-security main
deb-src http://mirror.test/debian bookworm main
deb http://flat.test ./
`
	got, err := parseSourceList(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []source{
		{uris: []string{"http://mirror.test/debian"}, suites: []string{"bookworm"}, components: []string{"main", "contrib"}, options: map[string]string{}},
		{
			uris: []string{"https://mirror.test/sec"}, suites: []string{"bookworm-security"}, components: []string{"main"},
			options: map[string]string{"Signed-By": "/k/a.gpg /k/b.gpg", "Trusted": "yes"},
		},
		{uris: []string{"http://flat.test"}, suites: []string{"./"}, components: []string{}, options: map[string]string{}},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(source{})); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	for _, bad := range []string{"rpm http://x y z", "deb [x http://x y", "deb http://x"} {
		if got, err := parseSourceList(strings.NewReader(bad)); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%q: got %v, %v, want an error that names the line", bad, got, err)
		}
	}
}

func TestWantSuites(t *testing.T) {
	main := source{uris: []string{"http://m/debian/"}, suites: []string{"bookworm", "bookworm-updates"}, components: []string{"main", "contrib"}}
	sec := source{uris: []string{"http://m/security"}, suites: []string{"bookworm-security"}, components: []string{"main"}}
	flat := source{uris: []string{"http://flat"}, suites: []string{"./"}}
	cd := source{uris: []string{"cdrom:[x]/"}, suites: []string{"bookworm"}, components: []string{"main"}}
	one := source{uris: []string{"http://u/ubuntu"}, suites: []string{"noble", "noble-security"}, components: []string{"main", "universe"}}
	for _, tc := range []struct {
		name    string
		sources []source
		suite   string
		want    []string
	}{
		{"two archives", []source{main, sec, flat, cd}, "trixie", []string{"http://m/debian trixie trixie-updates", "http://m/security trixie-security"}},
		{"given twice", []source{main, main}, "trixie", []string{"http://m/debian trixie trixie-updates"}},
		{"rolling", []source{main, sec}, "sid", []string{"http://m/debian sid"}},
		{"backports", []source{main, sec}, "trixie-backports", []string{"http://m/debian trixie-backports"}},
		{"security alone", []source{main, sec}, "bullseye-security", []string{"http://m/security bullseye-security"}},
		{"one archive", []source{one}, "jammy", []string{"http://u/ubuntu jammy jammy-updates jammy-security"}},
		{"nothing", []source{flat, cd}, "trixie", nil},
	} {
		var got []string
		for _, w := range wantSuites(tc.sources, tc.suite) {
			got = append(got, w.uri+" "+strings.Join(w.suites, " "))
			if strings.Join(w.components, " ") != "main" {
				t.Errorf("%s: components %v, want main", tc.name, w.components)
			}
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s: want -, got +:\n%s", tc.name, d)
		}
	}
}

func TestReadStanzasErrors(t *testing.T) {
	for in, want := range map[string]string{
		" x":                "line 1: continuation",
		"A: b\n\n\nnothing": "line 4: no field",
		"A: b\nB: " + strings.Repeat("x", maxLine+1): "line 2 is longer",
	} {
		err := readStanzas(strings.NewReader(in), nil, func(stanza) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %q", in, err, want)
		}
	}
}

func FuzzSources(f *testing.F) {
	f.Add("Types: deb\nURIs: http://x\nSuites: a\nComponents: main\n")
	f.Add("deb [a=b] http://x y z\n")
	f.Fuzz(func(t *testing.T, s string) {
		parseSourceList(strings.NewReader(s))
		got, err := parseSources(strings.NewReader(s))
		if err != nil {
			return
		}
		// What is written for apt must read back as one stanza a suite: no value may end its stanza.
		ws := wantSuites(got, "trixie")
		n := 0
		for _, w := range ws {
			n += len(w.suites)
		}
		again, err := parseSources(strings.NewReader(writeSources(ws, "amd64")))
		if err != nil || len(again) != n {
			t.Errorf("%q: wrote %d stanzas, read %d, %v", s, n, len(again), err)
		}
	})
}

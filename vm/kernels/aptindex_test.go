package kernels

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An index in miniature: old packages, split ones, metapackages, what must not match, and what is incomplete.
const packages = `Package: linux-base
Version: 4.9
Size: 1

Package: linux-image-amd64
Version: 6.1.187-1
Depends: linux-image-6.1.0-53-amd64 (= 6.1.187-1)

Package: linux-image-cloud-amd64
Version: 6.1.180-1
Depends: linux-image-6.1.0-52-cloud-amd64 (= 6.1.180-1)

Package: linux-image-6.1.0-53-amd64
Version: 6.1.187-1
Depends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool
Size: 70000000

Package: linux-image-6.1.0-53-cloud-amd64-unsigned
Version: 6.1.187-1
Size: 30000000

Package: linux-image-6.1.0-53-cloud-amd64
Version: 6.1.187-1
Size: 30000001

Package: linux-image-6.1.0-53-cloud-amd64-dbg
Version: 6.1.187-1
Size: 9

Package: linux-image-6.1.0-53-rt-amd64
Version: 6.1.187-1
Size: 60000000

Package: linux-image-6.1.0-52-cloud-amd64
Version: 6.1.180-1
Size: 2

Package: linux-image-6.1-amd64
Version: 6.1.187-1
Depends: linux-image-6.1.0-53-amd64 (= 6.1.187-1)

Package: linux-image-6.1-amd64-signed-template
Version: 6.1.187-1

Package: linux-image-6.12.9+deb12-cloud-amd64
Version: 6.12.9-1~deb12u1
Size: 3

Package: linux-image-7.2.13+deb14-cloud-amd64
Version: 7.2.13-1
Depends: dracut | initramfs-tools, linux-base-7.2.13+deb14-cloud-amd64 (= 7.2.13-1), linux-binary-7.2.13+deb14-cloud-amd64 (= 7.2.13-1), linux-modules-7.2.13+deb14-cloud-amd64 (= 7.2.13-1)
Size: 10

Package: linux-binary-7.2.13+deb14-cloud-amd64
Version: 7.2.13-1
Depends: linux-base-7.2.13+deb14-cloud-amd64 (= 7.2.13-1)
Size: 100

Package: linux-modules-7.2.13+deb14-cloud-amd64
Version: 7.2.12-1
Size: 5000

Package: linux-modules-7.2.13+deb14-cloud-amd64
Version: 7.2.13-1
Size: 1000

Package: linux-base-7.2.13+deb14-cloud-amd64
Version: 7.2.13-1
Size: 10000

Package: linux-image-7.1.13+deb13-cloud-amd64
Version: 7.1.13-1~bpo13+1
Depends: linux-binary-7.1.13+deb13-cloud-amd64 (= 7.1.13-1~bpo13+1), linux-modules-7.1.13+deb13-cloud-amd64 (= 7.1.13-1~bpo13+1)

Package: linux-binary-7.1.13+deb13-cloud-amd64
Version: 7.1.13-1~bpo13+1

Package: linux-image-6.18.15+deb13-cloud-amd64
Version: 6.18.15-1~bpo13+1
Depends: kmod, linux-base-6.18.15+deb13-cloud-amd64 (= 6.18.15-1~bpo13+1)
Size: 49000000

Package: linux-headers-6.1.0-53-amd64
Version: 6.1.187-1
`

func TestCandidates(t *testing.T) {
	amd64, err := findArch("amd64")
	if err != nil {
		t.Fatal(err)
	}
	pkgs, err := readPackages(strings.NewReader(packages), "bookworm")
	if err != nil {
		t.Fatal(err)
	}
	all := candidates(pkgs, "bookworm", amd64)
	var got []string
	for _, c := range all {
		got = append(got, fmt.Sprintf("%s %s %s %s %d", c.Version, c.Flavour, c.Package, c.Spec, c.Download))
	}
	want := []string{
		"7.2 cloud linux-image-7.2.13+deb14-cloud-amd64=7.2.13-1 apt:bookworm/7.2.13-1@cloud 11110",
		"6.18 cloud linux-image-6.18.15+deb13-cloud-amd64=6.18.15-1~bpo13+1 apt:bookworm/6.18.15-1~bpo13+1@cloud 49000000",
		"6.12 cloud linux-image-6.12.9+deb12-cloud-amd64=6.12.9-1~deb12u1 apt:bookworm/6.12.9-1~deb12u1@cloud 3",
		"6.1 cloud linux-image-6.1.0-53-cloud-amd64=6.1.187-1 apt:bookworm/6.1.187-1@cloud 30000001",
		"6.1 generic linux-image-6.1.0-53-amd64=6.1.187-1 apt:bookworm/6.1.187-1@generic 70000000",
		"6.1 rt linux-image-6.1.0-53-rt-amd64=6.1.187-1 apt:bookworm/6.1.187-1@rt 60000000",
		"6.1 cloud linux-image-6.1.0-52-cloud-amd64=6.1.180-1 apt:bookworm/6.1.180-1@cloud 2",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	if s := ownSeries(pkgs, amd64); s != "6.1" {
		t.Errorf("series: got %q, want 6.1", s)
	}

	for spec, want := range map[string]string{
		"apt:bookworm":             "6.1.0-53-cloud-amd64 6.1.0-52-cloud-amd64",
		"apt:bookworm@rt":          "6.1.0-53-rt-amd64",
		"apt:bookworm/6.1":         "6.1.0-53-cloud-amd64 6.1.0-52-cloud-amd64",
		"apt:bookworm/6.1@generic": "6.1.0-53-amd64",
		"apt:bookworm/6.12":        "6.12.9+deb12-cloud-amd64",
		"apt:bookworm/7.*":         "7.2.13+deb14-cloud-amd64",
		"apt:bookworm/6.1.180":     "6.1.0-52-cloud-amd64",
		"apt:bookworm/9":           "",
		"apt:bookworm@16k":         "",
	} {
		sp, err := parseSpec(spec)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range matches(all, sp, amd64, "6.1") {
			got = append(got, c.Release)
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s: got %q, want %q", spec, g, want)
		}
	}
	// Every candidate's own spec must lead back to it.
	for _, c := range all {
		sp, err := parseSpec(c.Spec)
		if err != nil {
			t.Errorf("%s: %v", c.Spec, err)
			continue
		}
		if m := matches(all, sp, amd64, "6.1"); len(m) != 1 || m[0].Release != c.Release {
			t.Errorf("%s: got %v, want only %s", c.Spec, m, c.Release)
		}
	}
	e := (&NoMatchError{Spec: "apt:bookworm/9", Arch: "amd64", Have: all}).Error()
	if !strings.Contains(e, "6.1.0-53 ") || !strings.Contains(e, "cloud generic rt") {
		t.Errorf("the error does not list versions and flavours:\n%s", e)
	}
}

func TestReadPackagesRefusesOddNames(t *testing.T) {
	for _, v := range []string{"", "../x", "-o Dir::Bin=x", "1 2", "a/b"} {
		_, err := readPackages(strings.NewReader("Package: linux-image-6.1.0-1-amd64\nVersion: "+v+"\n"), "x")
		if err == nil {
			t.Errorf("version %q: got no error", v)
		}
	}
	for _, n := range []string{"linux-image-6.1/../../x", "linux-image-6.1 -o x", "linux-image-6.1_x"} {
		p, err := readPackages(strings.NewReader("Package: "+n+"\nVersion: 1\n"), "x")
		if err != nil || len(p) != 0 {
			t.Errorf("package %q: got %v, %v, want it left out", n, p, err)
		}
	}
}

func FuzzPackages(f *testing.F) {
	f.Add(packages)
	f.Fuzz(func(t *testing.T, s string) {
		amd64, err := findArch("amd64")
		if err != nil {
			t.Fatal(err)
		}
		pkgs, err := readPackages(strings.NewReader(s), "x")
		if err != nil {
			return
		}
		ownSeries(pkgs, amd64)
		for _, c := range candidates(pkgs, "x", amd64) {
			if !safeName(c.Release) {
				t.Errorf("release %q", c.Release)
			}
		}
	})
}

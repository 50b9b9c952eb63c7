package kernels

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSpec(t *testing.T) {
	for _, tc := range []struct {
		in, want string
	}{
		{"apt:bookworm", "apt:bookworm"},
		{"apt:trixie-backports/7.*", "apt:trixie-backports/7.*"},
		{"apt:sid/7.2@generic", "apt:sid/7.2@generic"},
		{"apt:bookworm@rt", "apt:bookworm@rt"},
		{"apt:trixie/6.12.107+deb13", "apt:trixie/6.12.107+deb13"},
		{"apt:trixie/6.12.[0-9]*", "apt:trixie/6.12.[0-9]*"},
		{"apt:experimental/7.3~rc7", "apt:experimental/7.3~rc7"},
		{"file:/boot/vmlinuz", "file:/boot/vmlinuz"},
		{"file:/a/./b/../vmlinuz,modules=/c/", "file:/a/vmlinuz,modules=/c"},
		{"file:/odd@name/6.1:x", "file:/odd@name/6.1:x"},
	} {
		got, err := ParseSpec(tc.in)
		if err != nil || got != tc.want {
			t.Errorf("ParseSpec(%q): got %q, %v, want %q", tc.in, got, err, tc.want)
		}
		if again, err := ParseSpec(got); err != nil || again != got {
			t.Errorf("ParseSpec(%q) of its own output: got %q, %v", got, again, err)
		}
	}
	// A relative path means the folder of the caller.
	wd, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseSpec("file:bzImage"); err != nil || got != "file:"+wd+"/bzImage" {
		t.Errorf("got %q, %v, want the file in %s", got, err, wd)
	}
}

func TestParseSpecErrors(t *testing.T) {
	for _, tc := range []struct {
		in, want string
	}{
		{"", "want apt:"},
		{"bookworm", "want apt:"},
		{"zip:x", "unknown kind"},
		{"apt:", "suite"},
		{"apt:/6.1", "suite"},
		{"apt:../6.1", "suite"},
		{"apt:Bookworm", "suite"},
		{"apt:bookworm/", "version"},
		{"apt:bookworm/../x", "version"},
		{"apt:bookworm/[", "version"},
		{"apt:bookworm@", "flavour"},
		{"apt:bookworm@-x", "flavour"},
		{"apt:bookworm -o x", "suite"},
		{"apt:-o", "suite"},
		{"file:", "path"},
		{"file:/x,initrd=/y", "modules=DIR"},
		{"file:/x,modules=", "modules=DIR"},
		{"file:/x\n", "control"},
		{"file:" + strings.Repeat("x", 5000), "too long"},
	} {
		got, err := ParseSpec(tc.in)
		var se *SpecError
		if !errors.As(err, &se) || !strings.Contains(se.Reason, tc.want) {
			t.Errorf("ParseSpec(%.40q): got %q, %v, want a SpecError with %q", tc.in, got, err, tc.want)
		}
	}
}

func TestFindArch(t *testing.T) {
	for in, want := range map[string]string{"amd64": "amd64", "x86_64": "amd64", "aarch64": "arm64", "ppc64el": "ppc64le", "armhf": "arm"} {
		if a, err := findArch(in); err != nil || a.goarch != want {
			t.Errorf("findArch(%q): got %q, %v, want %q", in, a.goarch, err, want)
		}
	}
	if a, err := findArch("vax"); err == nil || !strings.Contains(err.Error(), "riscv64") {
		t.Errorf("got %v, %v, want an error that lists the architectures", a, err)
	}
}

func TestCompareVersions(t *testing.T) {
	// Ascending; each differs from its neighbour in one rule.
	list := []string{
		"5.10.0-46", "5.10.1", "6.1~rc1", "6.1", "6.1-1~bpo12+1", "6.1-1", "6.1-1+b1", "6.1.0-53", "6.2", "6.12",
		"6.12.107-1~deb12u1", "6.12.107-1", "6.12.107+deb13", "6.12.107+deb13-1", "6.12.111-1", "7.3~rc7-1~exp1", "7.3.4-1~bpo13+1", "1:4.0",
	}
	for i, a := range list {
		for j, b := range list {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := compareVersions(a, b); got != want {
				t.Errorf("compareVersions(%q, %q): got %d, want %d", a, b, got, want)
			}
		}
	}
	if compareVersions("6.01", "6.1") != 0 {
		t.Error("6.01 and 6.1 differ, want leading zeros to be ignored")
	}
}

func TestSplitRelease(t *testing.T) {
	for _, tc := range []struct {
		release, arch, version, flavour string
	}{
		{"6.1.0-53-cloud-amd64", "amd64", "6.1.0-53", "cloud"},
		{"6.1.0-53-amd64", "amd64", "6.1.0-53", "generic"},
		{"6.12.107+deb13-rt-amd64", "amd64", "6.12.107+deb13", "rt"},
		{"6.1.0-0.deb11.48-amd64", "amd64", "6.1.0-0.deb11.48", "generic"},
		{"7.3-cloud-amd64", "amd64", "7.3", "cloud"},
		{"7.3-rc7-amd64", "amd64", "7.3-rc7", "generic"},
		{"6.12.107+deb13-arm64-16k", "arm64", "6.12.107+deb13", "16k"},
		{"5.10.0-30-686-pae", "386", "5.10.0-30", "686-pae"},
		{"6.12.107+deb13-powerpc64le", "ppc64le", "6.12.107+deb13", "generic"},
		{"6.8.0-31-generic", "amd64", "6.8.0-31", "generic"},
		{"6.1.0-53-armmp-lpae", "arm", "6.1.0-53", "armmp-lpae"},
		{"6.12.1-5kc-malta", "mips64le", "6.12.1", "5kc-malta"},
	} {
		a, err := findArch(tc.arch)
		if err != nil {
			t.Fatal(err)
		}
		v, raw := splitRelease(tc.release)
		if got := flavourOf(raw, a); v != tc.version || got != tc.flavour {
			t.Errorf("%s: got %q, %q, want %q, %q", tc.release, v, got, tc.version, tc.flavour)
		}
	}
}

func TestMatchVersion(t *testing.T) {
	names := []string{"6.1", "6.1.0-53", "6.1.0-53-cloud-amd64", "6.1.187-1"}
	got := map[string]bool{}
	for _, p := range []string{"6.1", "6", "6.1.187", "6.1.0-53", "6.*", "6.1*", "6.12", "6.1.18", "6.1.0-5", "7.*", "*", "6.1.18?-1"} {
		got[p] = matchVersion(p, names...)
	}
	want := map[string]bool{
		"6.1": true, "6": true, "6.1.187": true, "6.1.0-53": true, "6.*": true, "6.1*": true, "*": true, "6.1.18?-1": true,
		"6.12": false, "6.1.18": false, "6.1.0-5": false, "7.*": false,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	if matchVersion("6.1", "6.12.107-1", "6.12") {
		t.Error("6.1 matches 6.12")
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"apt:bookworm/6.*@cloud", "file:/boot/x,modules=/m", "apt:a", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseSpec(s)
		if err != nil {
			return
		}
		if again, err := ParseSpec(got); err != nil || again != got {
			t.Errorf("%q: canonical %q gives %q, %v", s, got, again, err)
		}
	})
}

func TestSplitSpecs(t *testing.T) {
	for in, want := range map[string][]string{
		"":                           {""},
		"apt:bookworm":               {"apt:bookworm"},
		"apt:bookworm,host,oci:a/b":  {"apt:bookworm", "host", "oci:a/b"},
		"file:/v,modules=/m,tar:/t":  {"file:/v,modules=/m", "tar:/t"},
		"bucket:d,kernel=a/b,host":   {"bucket:d,kernel=a/b", "host"},
		"file:/a,b:c":                {"file:/a,b:c"},
		"foo,apt:sid/7.*,build:/src": {"foo", "apt:sid/7.*", "build:/src"},
		",apt:sid":                   {"", "apt:sid"},
	} {
		if got := SplitSpecs(in); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

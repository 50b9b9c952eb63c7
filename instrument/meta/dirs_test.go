package meta

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDefaultDir(t *testing.T) {
	t.Setenv("BPFCOV_CACHE", "/somewhere")
	if got, err := DefaultDir(); err != nil || got != "/somewhere/meta" {
		t.Errorf("got %q, %v", got, err)
	}
	t.Setenv("BPFCOV_CACHE", "")
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	if _, err := DefaultDir(); err == nil || !strings.Contains(err.Error(), "BPFCOV_CACHE") {
		t.Errorf("without a home: got %v", err)
	}
}

// Under sudo the objects are those of the user who called it, and HOME is root's.
func TestSearchDirs(t *testing.T) {
	t.Setenv("BPFCOV_META_DIR", "/metas")
	t.Setenv("BPFCOV_CACHE", "/somewhere")
	t.Setenv("SUDO_UID", "")
	want := []string{"/metas", "/somewhere/meta"}
	if diff := cmp.Diff(want, SearchDirs()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	t.Setenv("SUDO_UID", "4294967000")
	if diff := cmp.Diff(want, SearchDirs()); diff != "" {
		t.Errorf("sudo by nobody who is known: (-want +got)\n%s", diff)
	}
	u, err := user.LookupId("1")
	if err != nil {
		t.Skip(err)
	}
	t.Setenv("SUDO_UID", u.Uid)
	if os.Geteuid() == 0 { // without root the variable says nothing
		want = append(want, filepath.Join(u.HomeDir, ".cache/bpfcov/meta"))
	}
	if diff := cmp.Diff(want, SearchDirs()); diff != "" {
		t.Errorf("sudo by %s: (-want +got)\n%s", u.Username, diff)
	}
}

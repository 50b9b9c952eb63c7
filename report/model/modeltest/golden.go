package modeltest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// Golden compares named texts with the files of testdata/NAME.txtar, or rewrites the archive when update
// is set. The comment of the archive is kept.
func Golden(t *testing.T, name string, update bool, texts ...[2]string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txtar")
	have, err := txtar.ParseFile(path)
	if err != nil && !update {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if update {
		a := &txtar.Archive{}
		if have != nil {
			a.Comment = have.Comment
		}
		for _, x := range texts {
			a.Files = append(a.Files, txtar.File{Name: x[0], Data: []byte(x[1])})
		}
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, txtar.Format(a), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := map[string]string{}
	for _, f := range have.Files {
		want[f.Name] = string(f.Data)
	}
	got := map[string]string{}
	for _, x := range texts {
		got[x[0]] = x[1]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s, want (-), got (+); after checking it, go test -update rewrites it:\n%s", path, diff)
	}
}

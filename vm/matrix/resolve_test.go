package matrix

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/vm/kernels"
)

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"debian/6.1.0__1.tar.gz", "debian/5.10.9__2.tar.gz"} {
		p := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bucket := "bucket:" + dir
	points := []Point{{"apt:bookworm", "amd64"}, {bucket, "amd64"}, {bucket + ",kernel=*/6.1", "amd64"}}
	got, err := Resolve(context.Background(), &kernels.Store{Dir: t.TempDir()}, nil, points)
	if err != nil {
		t.Fatal(err)
	}
	want := []Point{{"apt:bookworm", "amd64"}, {bucket + ",kernel=debian/6.1.0__1", "amd64"}, {bucket + ",kernel=debian/5.10.9__2", "amd64"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	lock := &kernels.Lock{Version: 1, Expanded: []kernels.Expanded{{Spec: bucket, Arch: "amd64", Specs: []string{"tar:/k.tar"}}}}
	if got, err = Resolve(context.Background(), &kernels.Store{}, lock, points[1:2]); err != nil || len(got) != 1 || got[0].Spec != "tar:/k.tar" {
		t.Errorf("locked: got %v, %v", got, err)
	}
	if _, err = Resolve(context.Background(), &kernels.Store{}, nil, []Point{{"bucket:/nowhere", "amd64"}}); err == nil || !strings.Contains(err.Error(), "bucket:/nowhere on amd64") {
		t.Errorf("got %v", err)
	}
}

package kernels

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLock(t *testing.T) {
	ctx := context.Background()
	s := &Store{Dir: t.TempDir(), Log: t.Logf}
	file := writeTemp(t, "k.tar", kernelTar(t, map[string][]byte{"boot/vmlinuz": testBz(t)}))
	lockPath := filepath.Join(t.TempDir(), LockName)
	if l, err := ReadLock(lockPath); l != nil || err != nil {
		t.Fatalf("no file: got %v, %v", l, err)
	}
	k, err := s.PullLocked(ctx, nil, "tar:"+file, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	l := &Lock{Version: 1}
	for range 2 { // the second time it replaces
		if err := l.Add(k); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Write(lockPath); err != nil {
		t.Fatal(err)
	}
	if l, err = ReadLock(lockPath); err != nil || len(l.Kernels) != 1 || l.Kernels[0].Release != testRelease {
		t.Fatalf("got %+v, %v", l, err)
	}
	if k, err := s.PullLocked(ctx, l, "tar:"+file, "x86_64"); err != nil || k.Release != testRelease {
		t.Errorf("as locked: got %+v, %v", k, err)
	}
	// Another archive under the same name.
	if err := os.WriteFile(file, kernelTar(t, map[string][]byte{"boot/vmlinuz": testBz(t), "boot/config": []byte("x")}), 0o644); err != nil {
		t.Fatal(err)
	}
	var le *LockError
	if _, err := s.PullLocked(ctx, l, "tar:"+file, "amd64"); !errors.As(err, &le) || !strings.Contains(err.Error(), "kernels update") {
		t.Errorf("changed archive: got %v, want a LockError", err)
	}
	l.Kernels[0].Package, l.Kernels[0].Image = "", strings.Repeat("0", 64)
	if _, err := s.PullLocked(ctx, l, "tar:"+file, "amd64"); !errors.As(err, &le) || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("changed image: got %v, want a LockError", err)
	}
}

func TestExactSpec(t *testing.T) {
	for _, tc := range []struct {
		k    Kernel
		want string
	}{
		{Kernel{Spec: "apt:sid/7.*", Release: "7.2.13+deb14-cloud-amd64", Flavour: "cloud"}, "apt:sid/7.2.13+deb14@cloud"},
		{Kernel{Spec: "apt:bookworm", Release: "6.1.0-56-amd64", Flavour: "generic"}, "apt:bookworm/6.1.0-56@generic"},
		{Kernel{Spec: "oci:reg.example/k:1", Package: "reg.example/k@sha256:" + strings.Repeat("a", 64)}, "oci:reg.example/k@sha256:" + strings.Repeat("a", 64)},
		{Kernel{Spec: "tar:/k.tar"}, "tar:/k.tar"},
	} {
		if got := tc.k.exactSpec(); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.k.Spec, got, tc.want)
		}
	}
}

func FuzzLock(f *testing.F) {
	f.Add([]byte(`{"version":1,"kernels":[{"spec":"host","arch":"amd64","release":"6.1","exact":"host","image_sha256":""}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := parseLock(b); err == nil {
			l.Find("host", "amd64")
		}
	})
}

package warm

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func key(s string) Key {
	k := NewKey()
	k.Strings(s)
	return k.Sum()
}

func save(t *testing.T, s *Store, k Key, text string) {
	t.Helper()
	d, err := s.Create(k)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Discard()
	if _, err := d.RAM.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := d.Keep(); err != nil {
		t.Fatal(err)
	}
}

func ram(t *testing.T, s *Store, k Key) string {
	t.Helper()
	g, err := s.Get(k)
	if errors.Is(err, os.ErrNotExist) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	b, err := io.ReadAll(g.RAM)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStore(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a, b := key("a"), key("b")
	if got := ram(t, s, a); got != "none" {
		t.Errorf("empty store: got %q", got)
	}
	save(t, s, a, "of a")
	save(t, s, b, "of b")
	if ra, rb := ram(t, s, a), ram(t, s, b); ra != "of a" || rb != "of b" {
		t.Errorf("got %q, %q", ra, rb)
	}
	save(t, s, a, "too late") // another process was first
	if got := ram(t, s, a); got != "of a" {
		t.Errorf("second guest of a key: got %q, want the first", got)
	}
	g, err := s.Get(a)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	s.Remove(a)
	s.Remove(a)
	if got, _ := io.ReadAll(g.RAM); string(got) != "of a" {
		t.Errorf("open while it is removed: got %q", got)
	}
	if got := ram(t, s, a); got != "none" {
		t.Errorf("removed: got %q", got)
	}
	for _, name := range []string{s.dir, s.Dir(b)} {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: got %v, %v, want mode 0700", name, st.Mode(), err)
		}
	}
	left, err := filepath.Glob(filepath.Join(s.dir, ".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestPrune(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	keys := []Key{key("a"), key("b"), key("c")}
	for i, k := range keys {
		save(t, s, k, string(make([]byte, 64<<10)))
		when := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(s.Dir(k), when, when); err != nil {
			t.Fatal(err)
		}
	}
	if ram(t, s, keys[0]) == "none" { // which makes it the last used
		t.Fatal("no guest")
	}
	draft, err := s.Create(key("d"))
	if err != nil {
		t.Fatal(err)
	}
	defer draft.Discard()
	if left := s.Prune(1 << 40); left < 3*64<<10 {
		t.Errorf("got %d bytes, want at least those of three guests", left)
	}
	if left := s.Prune(100 << 10); left > 100<<10 {
		t.Errorf("got %d bytes, want at most %d", left, 100<<10)
	}
	if a, b, c := ram(t, s, keys[0]), ram(t, s, keys[1]), ram(t, s, keys[2]); a == "none" || b != "none" || c != "none" {
		t.Errorf("want only the last used guest to be left")
	}
	if err := draft.Keep(); err != nil {
		t.Errorf("a draft while others are removed: %v", err)
	}
}

// Processes that save, use and remove the same guest at once find all of it or nothing.
func TestStoreAtOnce(t *testing.T) {
	dir := t.TempDir()
	k := key("a")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			for n := range 50 {
				if n%10 == 9 {
					s.Remove(k)
				}
				save(t, s, k, "of a")
				if got := ram(t, s, k); got != "of a" && got != "none" {
					t.Errorf("got %q", got)
				}
			}
		})
	}
	wg.Wait()
}

func TestKey(t *testing.T) {
	sum := func(f func(*KeyBuilder) error) string {
		k := NewKey()
		if err := f(k); err != nil {
			t.Fatal(err)
		}
		return k.Sum().String()
	}
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for what, f := range map[string]func(*KeyBuilder) error{
		"a, b":     func(k *KeyBuilder) error { k.Strings("a", "b"); return nil },
		"ab":       func(k *KeyBuilder) error { k.Strings("ab"); return nil },
		"identity": func(k *KeyBuilder) error { return k.Identity(name) },
		"content":  func(k *KeyBuilder) error { return k.Content(name, nil) },
		"data":     func(k *KeyBuilder) error { return k.Content("", []byte("y")) },
	} {
		s := sum(f)
		if other := seen[s]; other != "" {
			t.Errorf("%s and %s have one key", what, other)
		}
		seen[s] = what
	}
	if sum(func(k *KeyBuilder) error { return k.Content(name, nil) }) != sum(func(k *KeyBuilder) error { return k.Content("", []byte("x")) }) {
		t.Error("a file and its content have different keys")
	}
}

// Package warm keeps saved guests: for each [Key] a folder with the guest's memory, a sparse file, and the state of its
// devices. A folder is written under a temporary name and renamed, so that there is all of it or nothing, and it is never
// changed afterwards: a guest that is resumed has copies of the pages that it writes. Any number of processes may use one
// store at once; a state that is removed stays valid for those who have it open. The memory of a guest may hold
// anything that its tests do: folders and files are the user's alone.
package warm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Limit is how much a store keeps, in bytes of disk. What was not used for the longest time goes first.
const Limit = 4 << 30

const (
	ramName, stateName = "ram", "state"
	draftPrefix        = ".draft-"
	// draftAge is when a draft is one that somebody left: no boot takes so long.
	draftAge = time.Hour
)

// Store is a folder of saved guests.
type Store struct{ dir string }

// Open opens the store below a cache folder; empty means the user's own.
func Open(cache string) (*Store, error) {
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		cache = filepath.Join(dir, "bpfcov")
	}
	s := &Store{filepath.Join(cache, "warm")}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	return s, os.Chmod(s.dir, 0o700)
}

// Dir is the folder of a key, whether or not it exists.
func (s *Store) Dir(k Key) string { return filepath.Join(s.dir, k.name) }

// State is a saved guest. Its files are open.
type State struct{ RAM, State *os.File }

// Get opens a saved guest. The error wraps [os.ErrNotExist] when there is none.
func (s *Store) Get(k Key) (*State, error) {
	ram, err := os.OpenFile(filepath.Join(s.Dir(k), ramName), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	state, err := os.Open(filepath.Join(s.Dir(k), stateName))
	if err != nil {
		ram.Close()
		return nil, err
	}
	now := time.Now()
	os.Chtimes(s.Dir(k), now, now) // for Prune
	return &State{ram, state}, nil
}

// Close closes the files.
func (s *State) Close() error { return errors.Join(s.RAM.Close(), s.State.Close()) }

// Draft is a guest that is being saved.
type Draft struct {
	RAM, State *os.File
	store      *Store
	key        Key
	dir        string
}

// Create begins to save a guest. The draft must be kept or discarded.
func (s *Store) Create(k Key) (*Draft, error) {
	dir, err := os.MkdirTemp(s.dir, draftPrefix) // mode 0700
	if err != nil {
		return nil, err
	}
	d := &Draft{store: s, key: k, dir: dir}
	for _, f := range []struct {
		name string
		to   **os.File
	}{{ramName, &d.RAM}, {stateName, &d.State}} {
		if *f.to, err = os.OpenFile(filepath.Join(dir, f.name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			d.Discard()
			return nil, err
		}
	}
	return d, nil
}

// Keep makes the draft the guest of its key. If another process was first, its guest stays.
func (d *Draft) Keep() error {
	err := errors.Join(d.RAM.Close(), d.State.Close())
	d.RAM, d.State = nil, nil
	if err != nil {
		return err
	}
	err = os.Rename(d.dir, d.store.Dir(d.key))
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
		err = nil
	}
	if err != nil {
		return err
	}
	d.store.prune(Limit, d.key)
	return nil
}

// Discard removes what is left of the draft. After Keep it does nothing.
func (d *Draft) Discard() {
	for _, f := range []*os.File{d.RAM, d.State} {
		if f != nil {
			f.Close()
		}
	}
	os.RemoveAll(d.dir)
}

// Remove throws a guest away.
func (s *Store) Remove(k Key) { s.remove(k.name) }

// remove renames before it deletes, so that nobody opens half of it.
func (s *Store) remove(name string) {
	tmp, err := os.MkdirTemp(s.dir, draftPrefix)
	if err != nil {
		return
	}
	os.Rename(filepath.Join(s.dir, name), filepath.Join(tmp, "old"))
	os.RemoveAll(tmp)
}

// Prune removes the guests that were not used for the longest time until at most limit bytes of disk are left, and
// returns how many bytes that are.
func (s *Store) Prune(limit int64) int64 { return s.prune(limit, Key{}) }

func (s *Store) prune(limit int64, keep Key) int64 {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0
	}
	type guest struct {
		name string
		used time.Time
		size int64
	}
	var guests []guest
	var total int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() {
			continue
		}
		if strings.HasPrefix(e.Name(), draftPrefix) {
			if time.Since(info.ModTime()) > draftAge {
				os.RemoveAll(filepath.Join(s.dir, e.Name()))
			}
			continue
		}
		g := guest{e.Name(), info.ModTime(), diskUse(filepath.Join(s.dir, e.Name()))}
		total += g.size
		if g.name != keep.name {
			guests = append(guests, g)
		}
	}
	slices.SortFunc(guests, func(a, b guest) int { return a.used.Compare(b.used) })
	for _, g := range guests {
		if total <= limit {
			break
		}
		s.remove(g.name)
		total -= g.size
	}
	return total
}

// diskUse is what the files of a folder take on disk, which is less than their size where they have holes.
func diskUse(dir string) (n int64) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			n += int64(st.Blocks) * 512 // stat(2)
		}
	}
	return n
}

package collect

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// A covdata folder holds two kinds of files; other files in it are left alone.
//
//	meta.OBJECTID                   what the counters of one object mean, see package meta
//	counters.CELL.TEST.NONCE        one record; NONCE is the run's ID, or made from the content
const (
	metaPrefix     = "meta."
	countersPrefix = "counters."
	tempPrefix     = ".tmp-"
)

// WriteRecord writes r to a file of its own in dir, which is made if missing, and returns its path.
// The file appears whole or not at all, and a later record of the same run replaces it.
func WriteRecord(dir string, r *Record) (path string, err error) {
	var b bytes.Buffer
	if err := EncodeRecord(&b, r); err != nil {
		return "", err
	}
	nonce := strings.ReplaceAll(fileWord(r.Run.ID), ".", "_")
	if nonce == "" {
		sum := sha256.Sum256(b.Bytes())
		nonce = hex.EncodeToString(sum[:8])
	}
	cell := r.Run.Cell
	name := countersPrefix + fileWord(cell.Kernel) + "-" + fileWord(cell.Arch)
	if cell.LLVM != 0 {
		name += fmt.Sprintf("-llvm%d", cell.LLVM)
	}
	path = filepath.Join(dir, name+"."+fileWord(r.Run.Test)+"."+nonce)
	return path, writeFile(path, b.Bytes())
}

// WriteMeta writes m as dir/meta.OBJECTID, making dir if missing. Equal object ids have equal
// content, so that a file which is already there and readable is left as it is.
func WriteMeta(dir string, m *meta.Meta) error {
	path := filepath.Join(dir, metaPrefix+m.ObjectID.String())
	if f, err := os.Open(path); err == nil {
		have, err := meta.Decode(bufio.NewReader(f))
		f.Close()
		if err == nil && have.ObjectID == m.ObjectID {
			return nil
		}
	}
	var b bytes.Buffer
	if err := meta.Encode(&b, m); err != nil {
		return err
	}
	return writeFile(path, b.Bytes())
}

// writeFile makes path appear with its whole content or not at all, also when the machine goes down.
func writeFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	syncDir(dir)
	return nil
}

// syncDir makes a rename last. Some file systems and systems cannot, and the file is whole anyway.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}

// fileWord makes s fit for one part of a file name.
func fileWord(s string) string {
	s = strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_+.", r) {
			return r
		}
		return '_'
	}, s)
	if len(s) > 60 {
		s = s[:60]
	}
	return s
}

// Data is the content of covdata folders.
type Data struct {
	// Metas are the descriptions of objects, by object id. Objects of records may be missing.
	Metas map[meta.ObjectID]*meta.Meta
	// Records are sorted by cell, then test, then run id.
	Records []Record
}

// ReadOptions say how to read covdata folders. The zero value is valid.
type ReadOptions struct {
	// Damaged, if not nil, is told of each file that is named like covdata and is not, or is cut short. The file is then
	// left out; otherwise it is an error.
	Damaged func(path string, err error)
}

// skip reports whether a file that cannot be read is to be left out.
func (o ReadOptions) skip(path string, err error) bool {
	if o.Damaged == nil {
		return false
	}
	for _, kind := range []error{ErrFormat, ErrTruncated, meta.ErrFormat, meta.ErrTruncated} {
		if errors.Is(err, kind) {
			o.Damaged(path, err)
			return true
		}
	}
	return false
}

// ReadDir is [ReadOptions.ReadDir] with the zero options.
func ReadDir(dirs ...string) (*Data, error) { return ReadOptions{}.ReadDir(dirs...) }

// ReadDir reads covdata folders. A record that is there several times counts once, and of the records
// of one run the last state counts. A file that is damaged is an error that names it, unless Damaged is set, and so is always a record
// that does not fit the object's description.
func (o ReadOptions) ReadDir(dirs ...string) (*Data, error) {
	d := &Data{}
	var err error
	if d.Metas, err = o.ReadMetas(dirs...); err != nil {
		return nil, err
	}
	err = o.Walk(func(path string, r *Record) error {
		if err := checkMetas(path, r, d.Metas); err != nil {
			return err
		}
		d.Records = append(d.Records, *r)
		return nil
	}, dirs...)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(d.Records, func(a, b Record) int { return compareRuns(a.Run, b.Run) })
	return d, nil
}

// checkMetas compares a record with the descriptions of its objects.
func checkMetas(path string, r *Record, metas map[meta.ObjectID]*meta.Meta) error {
	for i := range r.Objects {
		o := &r.Objects[i]
		if m := metas[o.ObjectID]; m != nil && m.NumCounters != len(o.Counts) {
			return fmt.Errorf("%s: %w: object %s has %d counters there, and %d in its description (%s)",
				path, ErrBuildMismatch, o.ObjectID, len(o.Counts), m.NumCounters, m.Source)
		}
	}
	return nil
}

// ReadMetas is [ReadOptions.ReadMetas] with the zero options.
func ReadMetas(dirs ...string) (map[meta.ObjectID]*meta.Meta, error) {
	return ReadOptions{}.ReadMetas(dirs...)
}

// ReadMetas reads only the objects' descriptions of covdata folders.
func (o ReadOptions) ReadMetas(dirs ...string) (map[meta.ObjectID]*meta.Meta, error) {
	metas := map[meta.ObjectID]*meta.Meta{}
	for _, dir := range dirs {
		paths, err := list(dir, metaPrefix)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			m, err := readMeta(path)
			if err != nil {
				if err = fmt.Errorf("%s: %w", path, err); o.skip(path, err) {
					continue
				}
				return nil, err
			}
			metas[m.ObjectID] = m
		}
	}
	return metas, nil
}

// Walk is [ReadOptions.Walk] with the zero options.
func Walk(fn func(path string, r *Record) error, dirs ...string) error {
	return ReadOptions{}.Walk(fn, dirs...)
}

// Walk calls fn for each run in covdata folders, one record in memory at a time, in the order of the
// folders and file names. See [ReadOptions.ReadDir] for what counts.
func (o ReadOptions) Walk(fn func(path string, r *Record) error, dirs ...string) error {
	var paths []string
	for i, dir := range dirs {
		if slices.Contains(dirs[:i], dir) {
			continue
		}
		p, err := list(dir, countersPrefix)
		if err != nil {
			return err
		}
		paths = append(paths, p...)
	}
	if len(paths) == 0 {
		return fmt.Errorf("%s: no covdata there (no file %s*): %w", strings.Join(dirs, ", "), countersPrefix, fs.ErrNotExist)
	}
	stale, err := o.staleFiles(paths)
	if err != nil {
		return err
	}
	read := 0
	for _, path := range paths {
		if stale[path] {
			continue
		}
		r, err := ReadRecord(path)
		if err != nil {
			if o.skip(path, err) {
				continue
			}
			return err
		}
		read++
		if err := fn(path, r); err != nil {
			return err
		}
	}
	if read == 0 {
		return fmt.Errorf("%s: %w: no file %s* can be read", strings.Join(dirs, ", "), ErrFormat, countersPrefix)
	}
	return nil
}

// ReadRecord reads one counters file, whose name is in its errors.
func ReadRecord(path string) (*Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := bufio.NewReader(f)
	r, err := DecodeRecord(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if _, err := b.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w: something follows the record", path, ErrFormat)
	}
	return r, nil
}

// staleFiles finds, among files whose names end in the same nonce, those that must not count: equal
// files but the first, and earlier states of the same run. Damaged ones are among them when they are to be left out.
func (o ReadOptions) staleFiles(paths []string) (map[string]bool, error) {
	groups := map[string][]string{}
	for _, p := range paths {
		nonce := p[strings.LastIndexByte(p, '.')+1:]
		groups[nonce] = append(groups[nonce], p)
	}
	stale := map[string]bool{}
	for _, group := range groups {
		if len(group) == 1 {
			continue
		}
		type state struct {
			path string
			run  Run
			sum  [sha256.Size]byte
		}
		best := map[string]state{} // by run id, or by content for records without
		for _, p := range group {
			r, err := ReadRecord(p)
			if err != nil {
				if o.skip(p, err) {
					stale[p] = true
					continue
				}
				return nil, err
			}
			h := sha256.New()
			if err := EncodeRecord(h, r); err != nil {
				return nil, err
			}
			now := state{p, r.Run, [sha256.Size]byte(h.Sum(nil))}
			key := "id " + r.Run.ID
			if r.Run.ID == "" {
				key = string(now.sum[:])
			}
			have, found := best[key]
			switch {
			case !found:
			case laterState(now.run, have.run) || !laterState(have.run, now.run) && bytes.Compare(now.sum[:], have.sum[:]) > 0:
				stale[have.path] = true
			default:
				stale[p] = true
				continue
			}
			best[key] = now
		}
	}
	return stale, nil
}

// laterState reports whether a is a later state of the same run than b. Neither may be: then any choice will do that does not
// depend on the order of files.
func laterState(a, b Run) bool {
	if a.Partial != b.Partial {
		return b.Partial
	}
	return a.Duration > b.Duration
}

func list(dir, prefix string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && !e.IsDir() {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

func readMeta(path string) (*meta.Meta, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := meta.Decode(bufio.NewReader(f))
	if err != nil {
		return nil, err
	}
	if want := metaPrefix + m.ObjectID.String(); filepath.Base(path) != want {
		return nil, fmt.Errorf("it describes object %s", m.ObjectID)
	}
	return m, nil
}

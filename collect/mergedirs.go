package collect

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// Merged counts what [MergeDirs] wrote.
type Merged struct {
	Runs, Objects int
	// Partial is the number of runs whose end was not seen.
	Partial int
}

// MergeDirs writes what counts in covdata folders (see [ReadOptions.ReadDir]) into the folder out, which is made if missing and may be
// one of them: each run once, in its last state, and each object's description. So the result is the same in whatever order and however
// often folders are merged. Memory holds one record at a time.
//
// Builds that differ under one object id are an [ErrBuildMismatch] that names both files. Records are read and checked before
// any is written.
func (o ReadOptions) MergeDirs(out string, dirs ...string) (Merged, error) {
	var m Merged
	metas, err := o.mergeMetas(dirs)
	if err != nil {
		return m, err
	}
	// Of damaged files the first pass has told.
	told := o
	if o.Damaged != nil {
		told.Damaged = func(string, error) {}
	}
	shapes := map[meta.ObjectID]shape{}
	for id, s := range metas {
		shapes[id] = shape{0, s.meta.NumCounters, s.path} // counters of both widths may be in one object
	}
	err = o.Walk(func(path string, r *Record) error {
		for i := range r.Objects {
			if err := checkShape(shapes, path, &r.Objects[i]); err != nil {
				return err
			}
		}
		return nil
	}, dirs...)
	if err != nil {
		return m, err
	}
	for _, s := range metas {
		if err := WriteMeta(out, s.meta); err != nil {
			return m, err
		}
		m.Objects++
	}
	err = told.Walk(func(path string, r *Record) error {
		if err := copyLogs(out, filepath.Dir(path), r.Programs); err != nil {
			return err
		}
		if _, err := WriteRecord(out, r); err != nil {
			return err
		}
		m.Runs++
		if r.Run.Partial {
			m.Partial++
		}
		return nil
	}, dirs...)
	return m, err
}

// shape is what records of one object have in common, and where that was first seen.
type shape struct {
	width, counters int
	path            string
}

func checkShape(shapes map[meta.ObjectID]shape, path string, o *ObjectCounters) error {
	s, found := shapes[o.ObjectID]
	if !found {
		shapes[o.ObjectID] = shape{o.Width, len(o.Counts), path}
		return nil
	}
	if s.counters != len(o.Counts) {
		return fmt.Errorf("%w: object %s has %d counters in %s and %d in %s", ErrBuildMismatch, o.ObjectID, s.counters, s.path, len(o.Counts), path)
	}
	if s.width == 0 {
		s.width, s.path = o.Width, path
		shapes[o.ObjectID] = s
	}
	if s.width != o.Width {
		return fmt.Errorf("%w: object %s has counters of %d bytes in %s and of %d in %s", ErrBuildMismatch, o.ObjectID, s.width, s.path, o.Width, path)
	}
	return nil
}

type metaFile struct {
	meta *meta.Meta
	path string
}

// mergeMetas reads the descriptions of objects. Two of one object must be equal.
func (o ReadOptions) mergeMetas(dirs []string) (map[meta.ObjectID]metaFile, error) {
	all := map[meta.ObjectID]metaFile{}
	for _, dir := range dirs {
		metas, err := o.ReadMetas(dir)
		if err != nil {
			return nil, err
		}
		for id, m := range metas {
			path := filepath.Join(dir, metaPrefix+id.String())
			have, found := all[id]
			if !found {
				all[id] = metaFile{m, path}
				continue
			}
			less, same, err := compareMetas(m, have.meta)
			switch {
			case err != nil:
				return nil, err
			case !same:
				return nil, fmt.Errorf("%w: %s and %s describe object %s differently", ErrBuildMismatch, have.path, path, id)
			case less:
				all[id] = metaFile{m, path}
			}
		}
	}
	return all, nil
}

// compareMetas reports whether two descriptions of one object mean the same counters, wherever the object was written to and
// whatever the compiler called itself, and which of both is to be kept, whatever the order.
func compareMetas(a, b *meta.Meta) (less, same bool, err error) {
	var full, bare [2]bytes.Buffer
	for i, m := range []*meta.Meta{a, b} {
		c := *m
		c.Object, c.Clang = "", ""
		if err := errors.Join(meta.Encode(&full[i], m), meta.Encode(&bare[i], &c)); err != nil {
			return false, false, err
		}
	}
	return bytes.Compare(full[0].Bytes(), full[1].Bytes()) < 0, bytes.Equal(bare[0].Bytes(), bare[1].Bytes()), nil
}

// MergeDirs is [ReadOptions.MergeDirs] with the zero options.
func MergeDirs(out string, dirs ...string) (Merged, error) {
	return ReadOptions{}.MergeDirs(out, dirs...)
}

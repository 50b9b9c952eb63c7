package collect

import (
	"io"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// EncodeRecord writes r in the covdata format.
func EncodeRecord(w io.Writer, r *Record) error { return errUnimplemented }

// DecodeRecord reads one record. Errors are [ErrTruncated] and [ErrFormat].
func DecodeRecord(r io.Reader) (*Record, error) { return nil, errUnimplemented }

// WriteRecord writes r to a file of its own in dir, which is made if missing, and returns its path.
// The file appears whole or not at all.
func WriteRecord(dir string, r *Record) (path string, err error) { return "", errUnimplemented }

// WriteMeta writes m as dir/meta.OBJECTID unless an equal file is there.
func WriteMeta(dir string, m *meta.Meta) error { return errUnimplemented }

// Data is the content of covdata folders.
type Data struct {
	Metas   map[meta.ObjectID]*meta.Meta
	Records []Record // sorted by cell, then test, then run id
}

// ReadDir reads covdata folders.
func ReadDir(dirs ...string) (*Data, error) { return nil, errUnimplemented }

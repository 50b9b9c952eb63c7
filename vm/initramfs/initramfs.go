// Package initramfs writes the archive that becomes a guest's root file system, and finds the files
// that a program needs to run there.
//
// The archive is an uncompressed cpio archive in newc format, the only one the kernel accepts besides its
// checksummed twin (Documentation/driver-api/early-userspace/buffer-format.rst). It is never compressed:
// decompression in an emulated guest costs more than reading the bytes. The same list of files gives
// the same bytes: entries are sorted, times are 0, owners are root.
//
// The package does not know what is in the guest; see vm for that.
package initramfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"sort"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// File is one entry of the archive. Exactly one of Source, Data and Link says what it holds; with none
// it is an empty file, or a directory when Mode says so.
type File struct {
	// Path is the absolute path in the guest, cleaned, for example "/usr/bin/env". Parent
	// directories that are not listed are made with mode 0755.
	Path string
	// Mode holds the permission bits, setuid, setgid and sticky, and ModeDir for a directory. The zero
	// value means the permissions of Source, or 0644.
	Mode fs.FileMode
	// Source is a regular file of the host, read while the archive is written. A symbolic link is
	// followed.
	Source string
	// Data is the content of a small file.
	Data []byte
	// Link is the target of a symbolic link.
	Link string
}

// ErrConflict is returned when two different files want the same path in the guest.
var ErrConflict = errors.New("two different files have the same path")

// Write writes files and the directories above them as an archive to w. Equal entries may be listed
// more than once, as happens when two programs share a library. Sources are streamed.
func Write(w io.Writer, files []File) error {
	entries, err := Plan(files)
	if err != nil {
		return err
	}
	bw := bufio.NewWriterSize(w, 1<<18)
	rw := cpio.Newc.Writer(bw)
	for i, f := range entries {
		rec, err := record(f, uint64(i+1))
		if err != nil {
			return err
		}
		if err := rw.WriteRecord(rec); err != nil {
			return fmt.Errorf("initramfs: %s: %w", f.Path, err)
		}
	}
	if err := cpio.WriteTrailer(rw); err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	return bw.Flush()
}

// Plan validates and sorts files, drops repetitions and adds the directories that are missing. A
// directory comes before what is in it because its path is a prefix.
func Plan(files []File) ([]File, error) {
	byPath := make(map[string]File, len(files))
	for _, f := range files {
		if !strings.HasPrefix(f.Path, "/") || path.Clean(f.Path) != f.Path || strings.ContainsRune(f.Path, 0) {
			return nil, fmt.Errorf("initramfs: %q: want a clean absolute path", f.Path)
		}
		if f.Path == "/" {
			continue
		}
		if err := oneContent(f); err != nil {
			return nil, err
		}
		old, ok := byPath[f.Path]
		switch {
		case !ok, old.Mode.IsDir() && f.Mode.IsDir():
			byPath[f.Path] = f
		case !same(old, f):
			return nil, fmt.Errorf("initramfs: %s: %w: %s and %s", f.Path, ErrConflict, origin(old), origin(f))
		}
	}
	for p := range byPath {
		for d := path.Dir(p); d != "/"; d = path.Dir(d) {
			up, ok := byPath[d]
			if !ok {
				byPath[d] = File{Path: d, Mode: fs.ModeDir | 0o755}
				continue
			}
			if !up.Mode.IsDir() && up.Link == "" {
				return nil, fmt.Errorf("initramfs: %s: %w: %s is not a directory but %s is below it", d, ErrConflict, origin(up), p)
			}
		}
	}
	out := make([]File, 0, len(byPath))
	for _, f := range byPath {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out, nil
}

func oneContent(f File) error {
	n := 0
	for _, has := range []bool{f.Source != "", f.Data != nil, f.Link != "", f.Mode.IsDir()} {
		if has {
			n++
		}
	}
	if n > 1 {
		return fmt.Errorf("initramfs: %s: more than one of source, data, link and directory", f.Path)
	}
	if f.Mode.Type()&^fs.ModeDir != 0 {
		return fmt.Errorf("initramfs: %s: mode %v: want a file or a directory", f.Path, f.Mode)
	}
	return nil
}

func same(a, b File) bool {
	return a.Source == b.Source && a.Link == b.Link && a.Mode == b.Mode && bytes.Equal(a.Data, b.Data)
}

func origin(f File) string {
	switch {
	case f.Mode.IsDir():
		return "a directory"
	case f.Source != "":
		return f.Source
	case f.Link != "":
		return "a link to " + f.Link
	}
	return fmt.Sprintf("a file of %d bytes", len(f.Data))
}

// Bits of st_mode, see cpio(5) and inode(7).
const (
	modeDir, modeReg, modeLink         = 0o040000, 0o100000, 0o120000
	modeSetuid, modeSetgid, modeSticky = 0o4000, 0o2000, 0o1000
)

func unixPerm(m fs.FileMode) uint64 {
	p := uint64(m.Perm())
	if m&fs.ModeSetuid != 0 {
		p |= modeSetuid
	}
	if m&fs.ModeSetgid != 0 {
		p |= modeSetgid
	}
	if m&fs.ModeSticky != 0 {
		p |= modeSticky
	}
	return p
}

func record(f File, ino uint64) (cpio.Record, error) {
	info := cpio.Info{Name: f.Path[1:], Ino: ino, NLink: 1}
	switch {
	case f.Mode.IsDir():
		info.Mode = modeDir | unixPerm(f.Mode)
		info.NLink = 2
		return cpio.Record{Info: info}, nil
	case f.Link != "":
		info.Mode = modeLink | 0o777
		info.FileSize = uint64(len(f.Link))
		return cpio.Record{Info: info, ReaderAt: strings.NewReader(f.Link)}, nil
	}
	perm := unixPerm(f.Mode)
	if f.Source == "" {
		if f.Mode == 0 {
			perm = 0o644
		}
		info.Mode = modeReg | perm
		info.FileSize = uint64(len(f.Data))
		return cpio.Record{Info: info, ReaderAt: bytes.NewReader(f.Data)}, nil
	}
	st, err := os.Stat(f.Source)
	if err != nil {
		return cpio.Record{}, fmt.Errorf("initramfs: %s: %w", f.Path, err)
	}
	if !st.Mode().IsRegular() {
		return cpio.Record{}, fmt.Errorf("initramfs: %s: %s is not a regular file (%v)", f.Path, f.Source, st.Mode())
	}
	if st.Size() > math.MaxUint32 {
		return cpio.Record{}, fmt.Errorf("initramfs: %s: %s has %d bytes, a newc entry at most 4 GiB", f.Path, f.Source, st.Size())
	}
	if f.Mode == 0 {
		perm = unixPerm(st.Mode())
	}
	info.Mode = modeReg | perm
	info.FileSize = uint64(st.Size())
	return cpio.Record{Info: info, ReaderAt: &lazyFile{name: f.Source, size: st.Size()}}, nil
}

// lazyFile opens its file when it is first read, so that a list of thousands of files does not need as
// many descriptors. The cpio writer closes it after the last byte.
type lazyFile struct {
	name string
	size int64
	f    *os.File
}

func (l *lazyFile) ReadAt(p []byte, off int64) (int, error) {
	if l.f == nil {
		f, err := os.Open(l.name)
		if err != nil {
			return 0, err
		}
		l.f = f
	}
	// A file that grows meanwhile must not shift what follows.
	if off >= l.size {
		return 0, io.EOF
	}
	if rest := l.size - off; int64(len(p)) > rest {
		p = p[:rest]
	}
	return l.f.ReadAt(p, off)
}

func (l *lazyFile) Close() error {
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}

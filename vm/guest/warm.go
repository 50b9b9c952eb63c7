package guest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// Orders are what the host sends to a guest that was saved when it was ready, after each time that it is resumed: resume,
// the files of the tests, each with its data, and the job, in the frames of the guest's own stream. They are the only
// messages in that direction; the answer is a stream that begins with hello.

// Resume is the first of the orders.
type Resume struct {
	// Time is the host's.
	Time time.Time
	// Seed is for the guest's random numbers, which would otherwise be those of every other guest of the same state.
	Seed []byte
}

// File is a file for the tests.
type File struct {
	Path string      // absolute, clean
	Mode fs.FileMode // permissions, setuid, setgid and sticky; ModeDir for a folder
	Link string      // target of a symbolic link
	Size int64       // bytes that follow
}

func (r Resume) encode() []byte {
	return appendText(appendInt(nil, "time", r.Time.UnixNano()), "seed", string(r.Seed))
}

func decodeResume(b []byte) (r Resume, err error) {
	t := text{rest: b}
	for t.next() {
		switch t.key {
		case "time":
			var ns int64
			t.int64(&ns)
			r.Time = time.Unix(0, ns)
		case "seed":
			r.Seed = []byte(t.value)
		default:
			t.unknown()
		}
	}
	return r, t.message(KindResume)
}

func (f File) encode() []byte {
	b := appendText(nil, "path", f.Path)
	b = appendText(b, "mode", strconv.FormatUint(uint64(f.Mode), 8))
	b = appendText(b, "link", f.Link)
	return appendInt(b, "size", f.Size)
}

func decodeFile(b []byte) (f File, err error) {
	t := text{rest: b}
	for t.next() {
		switch t.key {
		case "path":
			t.str(&f.Path)
		case "mode":
			n, err := strconv.ParseUint(t.value, 8, 32)
			if err != nil {
				t.err = fmt.Errorf("mode %.40q: want an octal number", t.value)
			}
			f.Mode = fs.FileMode(n)
		case "link":
			t.str(&f.Link)
		case "size":
			t.int64(&f.Size)
		default:
			t.unknown()
		}
	}
	if err := t.message(KindFile); err != nil {
		return f, err
	}
	if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" || f.Size < 0 ||
		f.Path == Dir || strings.HasPrefix(f.Path, Dir+"/") {
		return f, fmt.Errorf("%w: file %.100q of %d bytes", ErrFrame, f.Path, f.Size)
	}
	return f, nil
}

// Send writes the orders to port. open opens the content of a file; it is called for those with a size only.
func Send(port io.Writer, r Resume, files []File, open func(int) (io.ReadCloser, error), job []byte) error {
	e := NewEncoder(port)
	if err := e.Encode(KindResume, r.encode()); err != nil {
		return err
	}
	buf := make([]byte, dataChunk)
	for i, f := range files {
		if err := e.Encode(KindFile, f.encode()); err != nil {
			return err
		}
		if f.Size == 0 {
			continue
		}
		if err := sendContent(e, f, i, open, buf); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return e.Encode(KindJob, job)
}

// dataChunk is the most that one data message carries, which the guest holds in memory twice.
const dataChunk = 256 << 10

func sendContent(e *Encoder, f File, i int, open func(int) (io.ReadCloser, error), buf []byte) error {
	r, err := open(i)
	if err != nil {
		return err
	}
	defer r.Close()
	for left := f.Size; left > 0; {
		n, err := io.ReadFull(r, buf[:min(left, int64(len(buf)))])
		if err != nil {
			return err
		}
		if err := e.Encode(KindData, buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	return nil
}

// orders does what the host orders.
type orders interface {
	resume(Resume) error
	file(File) error
	data([]byte) error // next part of the last file
}

// follow reads orders until the job.
func follow(port io.Reader, o orders) (*Job, error) {
	d := NewDecoder(port)
	var left int64
	for n := 0; ; n++ {
		m, err := d.Next()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, fmt.Errorf("orders: %w", err)
		}
		if (n == 0) != (m.Kind == KindResume) || (left > 0) != (m.Kind == KindData) {
			return nil, fmt.Errorf("orders: %w: %v out of order", ErrFrame, m.Kind)
		}
		switch m.Kind {
		case KindResume:
			var r Resume
			if r, err = decodeResume(m.Payload); err == nil {
				err = o.resume(r)
			}
		case KindFile:
			var f File
			if f, err = decodeFile(m.Payload); err == nil {
				left = f.Size
				err = o.file(f)
			}
		case KindData:
			if left -= int64(len(m.Payload)); left < 0 || len(m.Payload) == 0 {
				return nil, fmt.Errorf("orders: %w: more data than announced", ErrFrame)
			}
			err = o.data(m.Payload)
		case KindJob:
			j, err := DecodeJob(m.Payload)
			if err == nil && j.Warm {
				err = errors.New("orders: a job that waits for orders")
			}
			return j, err
		default:
			err = fmt.Errorf("%w: %v", ErrFrame, m.Kind)
		}
		if err != nil {
			return nil, fmt.Errorf("orders: %w", err)
		}
	}
}

// WaitReady reads the message of a guest that is ready to be saved.
func WaitReady(port io.Reader) error {
	m, err := NewDecoder(port).Next()
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return ErrNoEnd
	case err != nil:
		return err
	case m.Kind != KindReady:
		return fmt.Errorf("%w: %v, want ready", ErrFrame, m.Kind)
	}
	return nil
}

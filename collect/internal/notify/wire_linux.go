//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package notify

import (
	"encoding/binary"
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// Both ends are one binary, so the encoding needs no version. It is not encoding/gob, because that costs a start in
// an emulated guest more than the rest of the shim.

var errWire = errors.New("malformed message between bpfcov and its shim")

func (o *order) encode() []byte {
	var b []byte
	b = appendString(b, o.Path)
	b = appendStrings(b, o.Args)
	b = appendStrings(b, o.Env)
	b = appendString(b, o.Chroot)
	b = appendString(b, o.Dir)
	b = appendBool(b, o.Traced)
	b = binary.AppendUvarint(b, uint64(o.Pdeathsig))
	if c := o.Credential; c == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		nosetgroups := uint64(0)
		if c.NoSetGroups {
			nosetgroups = 1
		}
		for _, v := range []uint64{uint64(c.Uid), uint64(c.Gid), nosetgroups, uint64(len(c.Groups))} {
			b = binary.AppendUvarint(b, v)
		}
		for _, g := range c.Groups {
			b = binary.AppendUvarint(b, uint64(g))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(o.Ambient)))
	for _, a := range o.Ambient {
		b = binary.AppendUvarint(b, uint64(a))
	}
	if o.Memlock == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	b = binary.AppendUvarint(b, o.Memlock.Cur)
	return binary.AppendUvarint(b, o.Memlock.Max)
}

func decodeOrder(b []byte) (*order, error) {
	w := wire{b: b}
	o := &order{Path: w.string(), Args: w.strings(), Env: w.strings(), Chroot: w.string(), Dir: w.string(), Traced: w.uint() != 0, Pdeathsig: int(w.uint())}
	if w.uint() != 0 {
		c := &syscall.Credential{Uid: uint32(w.uint()), Gid: uint32(w.uint()), NoSetGroups: w.uint() != 0}
		for range w.count() {
			c.Groups = append(c.Groups, uint32(w.uint()))
		}
		o.Credential = c
	}
	for range w.count() {
		o.Ambient = append(o.Ambient, uintptr(w.uint()))
	}
	if w.uint() != 0 {
		o.Memlock = &unix.Rlimit{Cur: w.uint(), Max: w.uint()}
	}
	return o, w.end()
}

func (r *refusal) encode() []byte {
	b := appendString(nil, r.Stage)
	b = appendString(b, r.Text)
	return binary.AppendUvarint(b, uint64(r.Errno))
}

func decodeRefusal(b []byte) (*refusal, error) {
	w := wire{b: b}
	r := &refusal{Stage: w.string(), Text: w.string(), Errno: int(w.uint())}
	return r, w.end()
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

// wire takes values off a message. After the first error all are zero.
type wire struct {
	b   []byte
	bad bool
}

func (w *wire) uint() uint64 {
	v, n := binary.Uvarint(w.b)
	if n <= 0 {
		w.bad, w.b = true, nil
		return 0
	}
	w.b = w.b[n:]
	return v
}

// count reads a number of things of at least one byte each.
func (w *wire) count() int {
	n := w.uint()
	if n > uint64(len(w.b)) {
		w.bad, w.b = true, nil
		return 0
	}
	return int(n)
}

func (w *wire) string() string {
	n := w.count()
	s := string(w.b[:n])
	w.b = w.b[n:]
	return s
}

func (w *wire) strings() []string {
	list := make([]string, w.count())
	for i := range list {
		list[i] = w.string()
	}
	return list
}

func (w *wire) end() error {
	if w.bad || len(w.b) > 0 {
		return errWire
	}
	return nil
}

package collect

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

func appendObject(b []byte, o *ObjectCounters) []byte {
	b = append(b, o.ObjectID[:]...)
	b = binary.AppendUvarint(b, uint64(o.Width))
	b = binary.AppendUvarint(b, uint64(o.Maps))
	b = binary.AppendUvarint(b, uint64(len(o.Counts)))
	for _, c := range o.Counts {
		b = binary.AppendUvarint(b, c)
	}
	b = appendStates(b, o.States)
	b = binary.AppendUvarint(b, uint64(len(o.Flows)))
	for i := range o.Flows {
		b = appendFlow(b, &o.Flows[i])
	}
	return b
}

// appendStates writes states as runs of equal ones.
func appendStates(b []byte, states []CounterState) []byte {
	var runs []byte
	n := 0
	for i := 0; i < len(states); {
		j := i
		for j < len(states) && states[j] == states[i] {
			j++
		}
		runs = append(runs, byte(states[i]))
		runs = binary.AppendUvarint(runs, uint64(j-i))
		n++
		i = j
	}
	b = binary.AppendUvarint(b, uint64(n))
	return append(b, runs...)
}

var errShort = errors.New("a section ends too early")

// reader takes values off a byte slice. After the first error all values are zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.err = errShort
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of things of which each takes at least one byte, so that it cannot exceed
// what is left.
func (r *reader) count() int {
	v := r.uvarint()
	if v > uint64(len(r.b)) {
		r.err = cmp.Or(r.err, errShort)
		return 0
	}
	return int(v)
}

func (r *reader) bytes(n int) []byte {
	if r.err == nil && n > len(r.b) {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func parsePayload(raw []byte) (*Record, error) {
	rec, r := new(Record), reader{b: raw}
	seen := map[uint64]bool{}
	for len(r.b) > 0 && r.err == nil {
		kind := r.uvarint()
		content := r.bytes(r.count())
		if r.err != nil {
			break
		}
		var err error
		switch kind {
		case kindRun, kindPrograms, kindUser:
			if seen[kind] {
				return nil, fmt.Errorf("section %d: twice", kind)
			}
			seen[kind] = true
			switch kind {
			case kindRun:
				err = json.Unmarshal(content, &rec.Run)
			case kindPrograms:
				err = json.Unmarshal(content, &rec.Programs)
			default:
				rec.UserSpace, err = parseUserFiles(content)
			}
		case kindObject:
			var o ObjectCounters
			if err = parseObject(content, &o); err == nil {
				rec.Objects = append(rec.Objects, o)
			}
		default:
			if kind < kindOptional {
				return nil, fmt.Errorf("section of kind %d: written by a newer bpfcov", kind)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("section of kind %d: %w", kind, err)
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if !seen[kindRun] {
		return nil, errors.New("no run section")
	}
	return rec, nil
}

func parseObject(content []byte, o *ObjectCounters) error {
	r := reader{b: content}
	copy(o.ObjectID[:], r.bytes(len(meta.ObjectID{})))
	width, nmaps, n := r.uvarint(), r.uvarint(), r.count()
	if r.err != nil {
		return r.err
	}
	if width != 1 && width != 8 {
		return fmt.Errorf("counter width %d, want 1 or 8", width)
	}
	if n > maxCounters || nmaps > 1<<31-1 {
		return fmt.Errorf("%d counters in %d maps are too many", n, nmaps)
	}
	o.Width, o.Maps = int(width), int(nmaps)
	o.Counts = make([]uint64, n)
	for i := range o.Counts {
		o.Counts[i] = r.uvarint()
	}
	for range r.count() {
		st, length := r.bytes(1), r.uvarint()
		if r.err != nil {
			return r.err
		}
		if CounterState(st[0]) > StateLive || length == 0 || length > uint64(n-len(o.States)) {
			return fmt.Errorf("%d counters of state %d after %d of %d", length, st[0], len(o.States), n)
		}
		o.States = slices.Grow(o.States, int(length))
		for range length {
			o.States = append(o.States, CounterState(st[0]))
		}
	}
	if r.err == nil && len(o.States) != 0 && len(o.States) != n {
		return fmt.Errorf("%d states for %d counters", len(o.States), n)
	}
	for range r.count() {
		f := parseFlow(&r, n)
		if r.err != nil {
			return r.err
		}
		o.Flows = append(o.Flows, f)
	}
	if r.err == nil && len(r.b) > 0 {
		return fmt.Errorf("%d bytes after the end", len(r.b))
	}
	return r.err
}

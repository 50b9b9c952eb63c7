package liveness

import (
	"cmp"
	"slices"
)

type kind uint8

// What is known of a register or a stack slot. opaque is anything that does not point into a map of
// interest.
const (
	opaque kind = iota
	constant
	frame   // off bytes from the frame pointer; frameUnknown when not known
	pointer // into map m at off
	oneOf   // any of set m, or something that is of no interest
)

// value is comparable: equal values are the same knowledge.
type value struct {
	kind kind
	m    uint32
	off  int64
}

const frameUnknown = int64(1) << 40

// target is one place that a value may point to.
type target struct {
	m       uint32
	off     int64
	unknown bool // anywhere in the map; off is then 0
}

// maxTargets bounds how exactly a set is known, so that loops over addresses come to an end.
const maxTargets = 16

// sets interns sorted sets of targets, so that values stay small and comparable.
type sets struct {
	all   [][]target
	index map[string]uint32
}

func (s *sets) targets(v value) []target {
	switch v.kind {
	case pointer:
		return []target{{m: v.m, off: v.off}}
	case oneOf:
		return s.all[v.m]
	}
	return nil
}

// of returns the value that may point to any of t, which it takes over.
func (s *sets) of(t []target) value {
	if len(t) == 0 {
		return value{}
	}
	t = normalize(t)
	if len(t) > maxTargets {
		for i := range t {
			t[i] = target{m: t[i].m, unknown: true}
		}
		t = normalize(t)
	}
	key := make([]byte, 0, 13*len(t))
	for _, e := range t {
		key = append(key, byte(e.m), byte(e.m>>8), byte(e.m>>16), byte(e.m>>24))
		for i := 0; i < 64; i += 8 {
			key = append(key, byte(e.off>>i))
		}
		key = append(key, 0)
		if e.unknown {
			key[len(key)-1] = 1
		}
	}
	if s.index == nil {
		s.index = map[string]uint32{}
	}
	n, ok := s.index[string(key)]
	if !ok {
		n = uint32(len(s.all))
		s.all = append(s.all, t)
		s.index[string(key)] = n
	}
	return value{kind: oneOf, m: n}
}

// normalize sorts, and drops what an unknown offset in the same map includes.
func normalize(t []target) []target {
	slices.SortFunc(t, func(a, b target) int {
		if a.m != b.m {
			return cmp.Compare(a.m, b.m)
		}
		if a.unknown != b.unknown {
			if a.unknown {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.off, b.off)
	})
	return slices.CompactFunc(t, func(a, b target) bool { return a == b || a.m == b.m && a.unknown })
}

// join returns what is known where control flows with a and with b meet.
func (s *sets) join(a, b value) value {
	if a == b {
		return a
	}
	if a.kind == frame && b.kind == frame {
		return value{kind: frame, off: frameUnknown}
	}
	return s.of(slices.Concat(s.targets(a), s.targets(b)))
}

// blur returns v with its offset no longer known.
func (s *sets) blur(vs ...value) value {
	var t []target
	isFrame := false
	for _, v := range vs {
		isFrame = isFrame || v.kind == frame
		for _, e := range s.targets(v) {
			t = append(t, target{m: e.m, unknown: true})
		}
	}
	if len(t) == 0 && isFrame {
		return value{kind: frame, off: frameUnknown}
	}
	return s.of(t)
}

// shift returns v plus n bytes.
func (s *sets) shift(v value, n int64) value {
	switch v.kind {
	case constant, pointer:
		v.off += n
	case frame:
		if v.off != frameUnknown {
			v.off += n
		}
	case oneOf:
		t := slices.Clone(s.all[v.m])
		for i := range t {
			if !t[i].unknown {
				t[i].off += n
			}
		}
		return s.of(t)
	}
	return v
}

// add returns a + b.
func (s *sets) add(a, b value) value {
	switch {
	case b.kind == constant:
		return s.shift(a, b.off)
	case a.kind == constant:
		return s.shift(b, a.off)
	}
	return s.blur(a, b)
}

package filewatch

import "fmt"

// Filter says which events are wanted. The BPF programs apply it, so that others cost little. The
// zero Filter wants everything; with several fields set an event must match all of them.
type Filter struct {
	PID    uint32  // process (thread group), 0 for any
	UID    *uint32 // user, nil for any
	Kinds  []Kind  // none for any
	Comm   string  // start of the thread's name, at most 15 bytes
	Prefix string  // start of the path, at most 127 bytes
	// Contains is a part of the path, at most 63 bytes. Kernels before 6.17 look for it in the
	// first 256 bytes of the path only.
	Contains string
}

// The bits of enum filter_use in bpf/event.h.
const (
	usePID = 1 << iota
	useUID
	useComm
	usePrefix
	useNeedle
	useKinds
)

// encode returns the filter as the BPF programs read it.
func (f Filter) encode() (*probeFilter, error) {
	p := new(probeFilter)
	if f.PID != 0 {
		p.Use |= usePID
		p.Pid = f.PID
	}
	if f.UID != nil {
		p.Use |= useUID
		p.Uid = *f.UID
	}
	for _, k := range f.Kinds {
		if k != Open && k != Exec {
			return nil, fmt.Errorf("filter: kind %d is not known", k)
		}
		p.Use |= useKinds
		p.Kinds |= 1 << k
	}
	if f.Comm != "" {
		p.Use |= useComm
		p.CommLen = uint32(len(f.Comm))
	}
	if f.Prefix != "" {
		p.Use |= usePrefix
		p.PrefixLen = uint32(len(f.Prefix))
	}
	if f.Contains != "" {
		p.Use |= useNeedle
		p.NeedleAccept = 1 << (len(f.Contains) - 1)
	}
	for _, s := range []struct {
		what, value string
		to          []int8
	}{
		{"comm", f.Comm, p.Comm[:]},
		{"prefix", f.Prefix, p.Prefix[:]},
		{"contains", f.Contains, p.Needle[:]},
	} {
		if len(s.value) >= len(s.to) { // the last byte stays NUL
			return nil, fmt.Errorf("filter: %s is %d bytes long, at most %d are possible", s.what, len(s.value), len(s.to)-1)
		}
		for i := range len(s.value) {
			s.to[i] = int8(s.value[i])
		}
	}
	// Bit n of needle_mask[c]: byte n of the needle is c.
	for i := range len(f.Contains) {
		p.NeedleMask[f.Contains[i]] |= 1 << i
	}
	return p, nil
}

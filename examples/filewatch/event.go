package filewatch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"
)

// Kind says what happened.
type Kind uint8

// The kinds of bpf/event.h.
const (
	Open Kind = 1 // a file was opened
	Exec Kind = 2 // a program was executed
)

func (k Kind) String() string {
	switch k {
	case Open:
		return "open"
	case Exec:
		return "exec"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// MarshalText implements [encoding.TextMarshaler].
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Event is one file opened or one program executed.
type Event struct {
	Kind Kind `json:"kind"`
	// Time is the kernel's monotonic clock, since boot without suspend.
	Time time.Duration `json:"time_ns"`
	// PID, TID and PPID are numbers of the initial pid namespace: process, thread and parent process.
	PID  uint32 `json:"pid"`
	TID  uint32 `json:"tid"`
	PPID uint32 `json:"ppid"`
	UID  uint32 `json:"uid"`
	// Comm is the name of the thread; for [Exec] already that of the new program.
	Comm string `json:"comm"`
	// Path is absolute for [Open]. For [Exec] it is the name as given to execve(2).
	Path string `json:"path"`
	// Truncated is set when the beginning of Path is missing.
	Truncated bool `json:"truncated,omitempty"`
	// Changed is when the inode was last changed (ctime), zero when the kernel did not tell. A
	// program executed seconds after it changed was probably just downloaded or built.
	Changed time.Time `json:"changed,omitzero"`
	// Compat is set for a 32-bit system call on a 64-bit kernel.
	Compat bool `json:"compat,omitempty"`
	// ForExec is set for an [Open] by execve(2) itself.
	ForExec bool `json:"for_exec,omitempty"`
	// Flags are those of open(2), with O_LARGEFILE as the kernel adds it. Zero for [Exec].
	Flags uint32 `json:"flags,omitempty"`
	// Args is the number of arguments, the program's name included. Zero for [Open].
	Args uint32 `json:"args,omitempty"`
}

// String returns the event as one line of text.
func (e Event) String() string {
	name := e.Path
	if e.Truncated {
		name = "…" + name
	}
	s := fmt.Sprintf("%-4s pid %d ppid %d uid %d %s %q", e.Kind, e.PID, e.PPID, e.UID, e.Comm, name)
	switch {
	case e.Kind == Exec:
		s += fmt.Sprintf(" args %d", e.Args)
	case e.Flags != 0:
		s += fmt.Sprintf(" flags %#o", e.Flags)
	}
	if e.Compat {
		s += " 32-bit"
	}
	return s
}

// eventHead is struct event of bpf/event.h without the path.
type eventHead struct {
	TimeNs   uint64
	CtimeSec int64
	PID      uint32
	TID      uint32
	PPID     uint32
	UID      uint32
	Info     uint32
	PathLen  uint16
	Kind     Kind
	Flags    uint8
	Comm     [16]byte
}

// The flags of bpf/event.h.
const (
	flagTruncated = 1 << iota
	flagCompat
	flagForExec
)

// decodeEvent reads one record of the ring or perf buffer. The perf buffer pads records.
func decodeEvent(raw []byte) (Event, error) {
	var h eventHead
	n, err := binary.Decode(raw, binary.NativeEndian, &h)
	if err != nil {
		return Event{}, fmt.Errorf("event of %d bytes: %w", len(raw), err)
	}
	path := raw[n:]
	if int(h.PathLen) > len(path) {
		return Event{}, fmt.Errorf("event of %d bytes: path of %d bytes, only %d left", len(raw), h.PathLen, len(path))
	}
	e := Event{
		Kind:      h.Kind,
		Time:      time.Duration(h.TimeNs),
		PID:       h.PID,
		TID:       h.TID,
		PPID:      h.PPID,
		UID:       h.UID,
		Comm:      cString(h.Comm[:]),
		Path:      cString(path[:h.PathLen]),
		Truncated: h.Flags&flagTruncated != 0,
		Compat:    h.Flags&flagCompat != 0,
		ForExec:   h.Flags&flagForExec != 0,
	}
	if h.CtimeSec >= 0 {
		e.Changed = time.Unix(h.CtimeSec, 0)
	}
	switch h.Kind {
	case Open:
		e.Flags = h.Info
	case Exec:
		e.Args = h.Info
	default:
		return Event{}, fmt.Errorf("event of kind %d: not known", h.Kind)
	}
	return e, nil
}

// cString returns b up to its first NUL.
func cString(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

package guest

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bpfcov/bpfcov/collect"
)

// Hello is the first message: the machine is up and its port works.
type Hello struct {
	Release string // uname -r
	Machine string // uname -m
	Arch    string // GOARCH of the agent
	Version string // of the agent
	Tests   int    // how many runs will follow
	// Uptime is the guest's time since its kernel started.
	Uptime time.Duration
}

// RunStart is sent before a test is started.
type RunStart struct {
	Test int // index in the job
	Name string
}

// RunEnd says how a test ended.
type RunEnd struct {
	Test     int
	ExitCode int    // -1 when the test was killed by a signal or never started
	Signal   string // for example "SIGSEGV"
	Duration time.Duration
	TimedOut bool
	// Error is why the test could not be started or watched.
	Error string
	// Dropped is the number of bytes of output beyond MaxOutput.
	Dropped int64
	// Loads is the number of program loads that were seen, of any program.
	Loads int
}

// Artefact is a file that a test left.
type Artefact struct {
	// Name is its path in the guest without the leading slash, local in the sense of [path/filepath.IsLocal].
	Name    string
	Content []byte
}

func (a Artefact) encode() []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(a.Name)+len(a.Content)), uint32(len(a.Name)))
	return append(append(b, a.Name...), a.Content...)
}

func decodeArtefact(b []byte) (a Artefact, err error) {
	if len(b) < 4 {
		return a, fmt.Errorf("%w: artefact of %d bytes", ErrFrame, len(b))
	}
	n := binary.LittleEndian.Uint32(b)
	if n > 4096 || int(n) > len(b)-4 {
		return a, fmt.Errorf("%w: artefact with a name of %d bytes", ErrFrame, n)
	}
	a.Name, a.Content = string(b[4:4+n]), b[4+n:]
	if !fs.ValidPath(a.Name) || a.Name == "." || strings.ContainsAny(a.Name, "\\\x00") || !utf8.ValidString(a.Name) {
		return a, fmt.Errorf("%w: artefact %q: not a path below the root", ErrFrame, a.Name)
	}
	if len(a.Content) > MaxArtefact {
		return a, fmt.Errorf("%w: artefact %q of %d bytes", ErrFrame, a.Name, len(a.Content))
	}
	return a, nil
}

// End is the last message.
type End struct {
	Runs int // run-end messages that were sent
}

func (h Hello) encode() []byte {
	b := appendText(nil, "release", h.Release)
	b = appendText(b, "machine", h.Machine)
	b = appendText(b, "arch", h.Arch)
	b = appendText(b, "version", h.Version)
	b = appendInt(b, "tests", int64(h.Tests))
	return appendInt(b, "uptime", int64(h.Uptime))
}

func decodeHello(b []byte) (h Hello, err error) {
	t := text{rest: b}
	for t.next() {
		switch t.key {
		case "release":
			t.str(&h.Release)
		case "machine":
			t.str(&h.Machine)
		case "arch":
			t.str(&h.Arch)
		case "version":
			t.str(&h.Version)
		case "tests":
			t.num(&h.Tests)
		case "uptime":
			t.dur(&h.Uptime)
		default:
			t.unknown()
		}
	}
	return h, t.message(KindHello)
}

func (s RunStart) encode() []byte {
	return appendText(appendInt(nil, "test", int64(s.Test)), "name", s.Name)
}

func decodeRunStart(b []byte) (s RunStart, err error) {
	t := text{rest: b}
	for t.next() {
		switch t.key {
		case "test":
			t.num(&s.Test)
		case "name":
			t.str(&s.Name)
		default:
			t.unknown()
		}
	}
	return s, t.message(KindRunStart)
}

func (e End) encode() []byte { return appendInt(nil, "runs", int64(e.Runs)) }

func decodeEnd(b []byte) (e End, err error) {
	t := text{rest: b}
	for t.next() {
		switch t.key {
		case "runs":
			t.num(&e.Runs)
		default:
			t.unknown()
		}
	}
	return e, t.message(KindEnd)
}

// encode makes the payload of a run-end message; record may be empty.
func (e RunEnd) encode(record []byte) []byte {
	b := appendInt(make([]byte, 4, 512+len(record)), "test", int64(e.Test))
	b = appendInt(b, "exit-code", int64(e.ExitCode))
	b = appendText(b, "signal", e.Signal)
	b = appendInt(b, "duration", int64(e.Duration))
	b = appendText(b, "timed-out", strconv.FormatBool(e.TimedOut))
	b = appendText(b, "error", e.Error)
	b = appendInt(b, "dropped", e.Dropped)
	b = appendInt(b, "loads", int64(e.Loads))
	binary.LittleEndian.PutUint32(b, uint32(len(b)-4))
	return append(b, record...)
}

func decodeRunEnd(b []byte) (e RunEnd, record []byte, err error) {
	if len(b) < 4 {
		return e, nil, fmt.Errorf("%w: run-end of %d bytes", ErrFrame, len(b))
	}
	n := binary.LittleEndian.Uint32(b)
	if n > MaxText || int(n) > len(b)-4 {
		return e, nil, fmt.Errorf("%w: run-end with %d bytes of text in %d", ErrFrame, n, len(b))
	}
	t := text{rest: b[4 : 4+n]}
	for t.next() {
		switch t.key {
		case "test":
			t.num(&e.Test)
		case "exit-code":
			t.num(&e.ExitCode)
		case "signal":
			t.str(&e.Signal)
		case "duration":
			t.dur(&e.Duration)
		case "timed-out":
			t.yes(&e.TimedOut)
		case "error":
			t.str(&e.Error)
		case "dropped":
			t.int64(&e.Dropped)
		case "loads":
			t.num(&e.Loads)
		default:
			t.unknown()
		}
	}
	return e, b[4+n:], t.message(KindRunEnd)
}

// message is the error of a text inside a message.
func (t *text) message(k Kind) error {
	if t.err == nil {
		return nil
	}
	return fmt.Errorf("%w: %v: %w", ErrFrame, k, t.err)
}

// Handler receives the messages of one guest, in order, from one goroutine. An error ends the
// reception. Byte slices are the callee's.
type Handler interface {
	Hello(Hello) error
	// RunStart starts a test, or the current one anew.
	RunStart(RunStart) error
	// Output is called for what the current test writes; stderr tells the two streams apart.
	Output(stderr bool, p []byte) error
	// Counters brings the state of the current test's counters; the previous one is out of date.
	Counters(*collect.Record) error
	// Artefact brings a file that the current test left.
	Artefact(Artefact) error
	// RunEnd ends the current test; record is nil when there were no counters.
	RunEnd(e RunEnd, record *collect.Record) error
	Log(text string) error
	End(End) error
}

package guest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
)

// recorder is a Handler that writes down what it is told.
type recorder struct {
	got []string
	out bytes.Buffer
}

func (r *recorder) add(s string) error { r.got = append(r.got, s); return nil }

func (r *recorder) Hello(h Hello) error       { return r.add("hello " + h.Release) }
func (r *recorder) RunStart(s RunStart) error { return r.add("start " + s.Name) }
func (r *recorder) Log(text string) error     { return r.add("log " + text) }
func (r *recorder) End(End) error             { return r.add("end") }
func (r *recorder) Output(stderr bool, p []byte) error {
	name := "out "
	if stderr {
		name = "err "
	}
	r.out.Write(p)
	return r.add(name + string(p[:min(len(p), 20)]))
}
func (r *recorder) Counters(rec *collect.Record) error {
	return r.add(fmt.Sprint("counters of ", rec.Run.Test, " ", rec.Objects[0].Counts[0]))
}
func (r *recorder) Artefact(a Artefact) error { return r.add("artefact " + a.Name) }
func (r *recorder) RunEnd(e RunEnd, rec *collect.Record) error {
	if rec == nil {
		return r.add("done without record")
	}
	return r.add("done " + rec.Run.Test + " " + e.Signal)
}

// stream encodes messages.
type stream struct {
	t   testing.TB
	b   bytes.Buffer
	enc *Encoder
}

func newStream(t testing.TB) *stream {
	s := &stream{t: t}
	s.enc = NewEncoder(&s.b)
	return s
}

func (s *stream) raw(k Kind, p []byte) *stream {
	s.t.Helper()
	if err := s.enc.Encode(k, p); err != nil {
		s.t.Fatal(err)
	}
	return s
}

// msg adds a message of text.
func (s *stream) msg(k Kind, v interface{ encode() []byte }) *stream {
	s.t.Helper()
	return s.raw(k, v.encode())
}

func (s *stream) runEnd(e RunEnd, rec *collect.Record) *stream {
	s.t.Helper()
	var b bytes.Buffer
	if rec != nil {
		if err := collect.EncodeRecord(&b, rec); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.raw(KindRunEnd, e.encode(b.Bytes()))
}

func testRecord(name string) *collect.Record {
	return &collect.Record{
		Run: collect.Run{Test: name},
		Objects: []collect.ObjectCounters{{
			ObjectID: [16]byte{1, 2, 3}, Width: 8, Maps: 1, Counts: []uint64{1, 0, 1 << 60},
			States: []collect.CounterState{collect.StateLive, collect.StateEliminated, collect.StateLive},
		}},
	}
}

func testRecordBytes(t testing.TB, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := collect.EncodeRecord(&b, testRecord(name)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// testDelta leads from the counters of testRecord to 2 in the first.
func testDelta(t testing.TB) []byte {
	t.Helper()
	now := testRecord("").Objects
	now[0].Counts[0] = 2
	d, ok := collect.EncodeDelta(testRecord("").Objects, now)
	if !ok {
		t.Fatal("no delta")
	}
	return d
}

// wholeStream is a proper stream of one test.
func wholeStream(t testing.TB) []byte {
	s := newStream(t).
		msg(KindHello, Hello{Release: "6.1", Tests: 2}).
		raw(KindLog, []byte("slow")).
		msg(KindRunStart, RunStart{Test: 0, Name: "a"}).
		raw(KindStdout, []byte("to stdout")).
		raw(KindStderr, []byte("to stderr")).
		raw(KindCounters, testRecordBytes(t, "a")).
		raw(KindDelta, testDelta(t)).
		raw(KindDelta, testDelta(t)).
		msg(KindArtefact, Artefact{Name: "tmp/a.profraw", Content: []byte("x")}).
		runEnd(RunEnd{Test: 0, Signal: "SIGSEGV"}, testRecord("a")).
		msg(KindRunStart, RunStart{Test: 1, Name: "b"}).
		runEnd(RunEnd{Test: 1}, nil).
		msg(KindEnd, End{Runs: 2})
	return s.b.Bytes()
}

func TestReceive(t *testing.T) {
	b := wholeStream(t)
	want := []string{"hello 6.1", "log slow", "start a", "out to stdout", "err to stderr", "counters of a 1", "counters of a 2", "counters of a 3", "artefact tmp/a.profraw",
		"done a SIGSEGV", "start b", "done without record", "end"}
	for name, r := range map[string]io.Reader{
		"at once":       bytes.NewReader(b),
		"byte by byte":  iotest.OneByteReader(bytes.NewReader(b)),
		"more after it": bytes.NewReader(append(bytes.Clone(b), "anything"...)),
	} {
		var h recorder
		if err := Receive(context.Background(), r, &h); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, h.got); diff != "" {
			t.Errorf("%s: messages (-want +got):\n%s", name, diff)
		}
	}
}

// Whatever is cut off a stream, it has no end.
func TestReceiveTruncated(t *testing.T) {
	b := wholeStream(t)
	for n := range b {
		err := Receive(context.Background(), bytes.NewReader(b[:n]), &recorder{})
		if !errors.Is(err, ErrNoEnd) {
			t.Fatalf("%d of %d bytes: got error %v, want ErrNoEnd", n, len(b), err)
		}
	}
}

// Every flipped bit is noticed, before a handler sees the frame it is in.
func TestReceiveDamaged(t *testing.T) {
	b := wholeStream(t)
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 0x10
		err := Receive(context.Background(), bytes.NewReader(bad), &recorder{})
		if !errors.Is(err, ErrFrame) && !errors.Is(err, ErrNoEnd) {
			t.Fatalf("bit flipped in byte %d of %d: got error %v, want ErrFrame or ErrNoEnd", i, len(b), err)
		}
	}
}

func TestReceiveOrder(t *testing.T) {
	hello := Hello{Tests: 1}
	start, end := RunStart{Test: 0}, RunEnd{Test: 0}
	for _, tt := range []struct {
		name string
		s    *stream
		want string
	}{
		{"no hello", newStream(t).msg(KindRunStart, start), "run-start out of order"},
		{"two hellos", newStream(t).msg(KindHello, hello).msg(KindHello, hello), "hello out of order"},
		{"output outside", newStream(t).msg(KindHello, hello).raw(KindStdout, nil), "stdout outside a run"},
		{"counters outside", newStream(t).msg(KindHello, hello).raw(KindCounters, nil), "counters outside a run"},
		{"end inside", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).msg(KindEnd, End{}), "end inside a run"},
		{"start inside", newStream(t).msg(KindHello, Hello{Tests: 2}).msg(KindRunStart, start).msg(KindRunStart, RunStart{Test: 1}), "run-start inside a run"},
		{"started thrice", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).msg(KindRunStart, start).msg(KindRunStart, start), "started 2 times"},
		{"delta of nothing", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).raw(KindDelta, nil), "delta without counters"},
		{"delta of what is void", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).raw(KindCounters, testRecordBytes(t, "a")).msg(KindRunStart, start).raw(KindDelta, testDelta(t)), "delta without counters"},
		{"delta of another", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).raw(KindCounters, testRecordBytes(t, "a")).raw(KindDelta, []byte{1, 7}), "not a delta"},
		{"artefact outside", newStream(t).msg(KindHello, hello).raw(KindArtefact, nil), "artefact outside a run"},
		{"artefact above", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).msg(KindArtefact, Artefact{Name: "../x"}), "not a path below the root"},
		{"artefact absolute", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).msg(KindArtefact, Artefact{Name: "/etc/passwd"}), "not a path below the root"},
		{"artefact without name", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).msg(KindArtefact, Artefact{}), "not a path below the root"},
		{"artefact with a long name", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).raw(KindArtefact, []byte{255, 255, 255, 255}), "name of 4294967295 bytes"},
		{"too many tests", newStream(t).msg(KindHello, hello).msg(KindRunStart, RunStart{Test: 1}), "want 0 to 0"},
		{"negative test", newStream(t).msg(KindHello, hello).msg(KindRunStart, RunStart{Test: -1}), "want 0 to 0"},
		{"a test twice", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).runEnd(end, nil).msg(KindRunStart, start), "want 1 to 0"},
		{"end of another", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).runEnd(RunEnd{Test: 3}, nil), "run-end of test 3"},
		{"foreign record", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).raw(KindCounters, []byte("junk")), "record"},
		{"not text", newStream(t).raw(KindHello, []byte("{")), "want a key and a quoted value"},
		{"no newline", newStream(t).raw(KindHello, []byte(`release "x"`)), "want a key and a quoted value"},
		{"raw string", newStream(t).raw(KindHello, []byte("release `x`\n")), "want a key and a quoted value"},
		{"no number", newStream(t).raw(KindHello, []byte("tests \"x\"\n")), "want a number"},
		{"unknown key", newStream(t).raw(KindHello, []byte("x \"y\"\n")), `unknown key "x"`},
		{"short run-end", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).raw(KindRunEnd, []byte{1}), "run-end of 1 bytes"},
		{"long run-end", newStream(t).msg(KindHello, hello).msg(KindRunStart, start).raw(KindRunEnd, []byte{255, 255, 0, 0, 1}), "65535 bytes of text"},
	} {
		err := Receive(context.Background(), &tt.s.b, &recorder{})
		if !errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want ErrFrame with %q", tt.name, err, tt.want)
		}
	}
}

func TestReceiveBounds(t *testing.T) {
	s := newStream(t).msg(KindHello, Hello{Tests: 1}).msg(KindRunStart, RunStart{})
	for range MaxOutput/MaxPayload + 1 {
		s.raw(KindStdout, make([]byte, MaxPayload))
	}
	if err := Receive(context.Background(), &s.b, &recorder{}); !errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), "of output") {
		t.Errorf("endless output: got error %v, want ErrFrame about output", err)
	}
	s = newStream(t).msg(KindHello, Hello{})
	for range maxLogs + 1 {
		s.raw(KindLog, nil)
	}
	if err := Receive(context.Background(), &s.b, &recorder{}); !errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), "log messages") {
		t.Errorf("endless log: got error %v, want ErrFrame about log messages", err)
	}
}

// A frame that announces more than the limit is refused before memory is allocated for it.
func TestDecoderLimits(t *testing.T) {
	frame := func(k Kind, flags byte, seq uint32, n uint32, body []byte) []byte {
		magic := frameMagic()
		b := append(magic[:], frameVersion, byte(k), flags, 0)
		b = binary.LittleEndian.AppendUint32(b, seq)
		b = binary.LittleEndian.AppendUint32(b, n)
		b = append(b, body...)
		return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	}
	for _, tt := range []struct {
		name, want string
		b          []byte
	}{
		{"huge frame", "payload of 4294967295 bytes", frame(KindLog, 0, 0, 1<<32-1, nil)},
		{"kind 0", "kind 0", frame(0, 0, 0, 0, nil)},
		{"kind after the last", "kind 16", frame(lastKind+1, 0, 0, 0, nil)},
		{"flag", "flags 0x2", frame(KindLog, 2, 0, 0, nil)},
		{"sequence", "sequence number 7", frame(KindLog, 0, 7, 0, nil)},
		{"empty and more", "empty frame that goes on", frame(KindLog, flagMore, 0, 0, nil)},
		{"other kind inside", "stdout inside a log message",
			append(frame(KindLog, flagMore, 0, 1, []byte{1}), frame(KindStdout, 0, 1, 1, []byte{1})...)},
		{"long text", "log message of more than",
			append(frame(KindLog, flagMore, 0, MaxPayload, make([]byte, MaxPayload)), frame(KindLog, 0, 1, 1, []byte{1})...)},
	} {
		_, err := NewDecoder(bytes.NewReader(tt.b)).Next()
		if !errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want ErrFrame with %q", tt.name, err, tt.want)
		}
	}
}

// Long messages are cut into frames and put together again.
func TestChunks(t *testing.T) {
	for _, n := range []int{0, 1, MaxPayload - 1, MaxPayload, MaxPayload + 1, 3*MaxPayload + 5} {
		want := bytes.Repeat([]byte{0xa5}, n)
		var b bytes.Buffer
		enc := NewEncoder(&b)
		if err := enc.Encode(KindCounters, want); err != nil {
			t.Fatal(err)
		}
		if err := enc.Encode(KindLog, []byte("after")); err != nil {
			t.Fatal(err)
		}
		d := NewDecoder(&b)
		m, err := d.Next()
		if err != nil || m.Kind != KindCounters || !bytes.Equal(m.Payload, want) {
			t.Errorf("%d bytes: got %v of %d bytes, error %v", n, m.Kind, len(m.Payload), err)
		}
		if m, err = d.Next(); err != nil || string(m.Payload) != "after" {
			t.Errorf("after %d bytes: got %q, error %v", n, m.Payload, err)
		}
		if _, err := d.Next(); err != io.EOF {
			t.Errorf("at the end: got error %v, want EOF", err)
		}
	}
	if err := NewEncoder(io.Discard).Encode(KindLog, make([]byte, MaxText+1)); err == nil {
		t.Errorf("log message of %d bytes: got no error", MaxText+1)
	}
}

func TestReceiveCancelled(t *testing.T) {
	r, w := io.Pipe() // closes on cancel: a PipeReader is a Closer
	defer w.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	go cancel(cause)
	if err := Receive(ctx, r, &recorder{}); err != cause {
		t.Errorf("got error %v, want the context's cause", err)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(wholeStream(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		// As it is, and with the checksums made right, so that the fuzzer gets behind them.
		for _, in := range [][]byte{b, fixChecksums(bytes.Clone(b))} {
			var h recorder
			err := Receive(context.Background(), bytes.NewReader(in), &h)
			ended := len(h.got) > 0 && h.got[len(h.got)-1] == "end"
			if (err == nil) != ended {
				t.Errorf("got error %v after %q", err, h.got)
			}
			if err != nil && !errors.Is(err, ErrFrame) && !errors.Is(err, ErrNoEnd) {
				t.Errorf("got error %v, want ErrFrame or ErrNoEnd", err)
			}
		}
	})
}

// fixChecksums makes frames of b valid where their lengths allow.
func fixChecksums(b []byte) []byte {
	for off, seq := 0, uint32(0); off+headerSize+trailerSize <= len(b); seq++ {
		magic := frameMagic()
		copy(b[off:], magic[:])
		b[off+4], b[off+7] = frameVersion, 0
		binary.LittleEndian.PutUint32(b[off+8:], seq)
		n := int(binary.LittleEndian.Uint32(b[off+12:]))
		end := off + headerSize + n
		if n > MaxPayload || end+trailerSize > len(b) {
			break
		}
		binary.LittleEndian.PutUint32(b[end:], crc32.ChecksumIEEE(b[off:end]))
		off = end + trailerSize
	}
	return b
}

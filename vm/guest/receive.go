package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bpfcov/bpfcov/collect"
)

// ErrNoEnd is returned by [Receive] when the stream ended without an end message.
var ErrNoEnd = errors.New("the guest went away without an end record")

// MaxOutput is how much a test may write to stdout and stderr together, in bytes. The agent drops
// and counts the rest; a stream with more is malformed.
const MaxOutput = 64 << 20

// Bounds on the log messages of one guest, and on how often it may start a test anew.
const (
	maxLogs     = 10_000
	maxRestarts = 1
)

// Receive reads the stream of one guest from port and hands its messages to h, until the end message, an
// error, or the end of ctx. It returns nil if and only if the end message came. The errors are
// [ErrNoEnd] (the port was closed), one that wraps [ErrFrame], the context's, or one of h.
//
// To be interrupted by ctx, port must have a SetReadDeadline or a Close method.
func Receive(ctx context.Context, port io.Reader, h Handler) error {
	stop := context.AfterFunc(ctx, func() {
		switch p := port.(type) {
		case interface{ SetReadDeadline(time.Time) error }:
			p.SetReadDeadline(time.Unix(1, 0))
		case io.Closer:
			p.Close()
		}
	})
	defer stop()
	d := NewDecoder(port)
	s := session{h: h, run: -1}
	for !s.ended {
		m, err := d.Next()
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if errors.Is(err, ErrFrame) {
				return err
			}
			if err == io.EOF {
				return ErrNoEnd
			}
			return fmt.Errorf("%w (%w)", ErrNoEnd, err)
		}
		if err := s.message(m); err != nil {
			return err
		}
	}
	return nil
}

// session checks the order of messages.
type session struct {
	h      Handler
	hello  bool
	tests  int
	run    int // index of the current test, -1 between tests
	next   int // index of the next test
	output int
	logs   int

	restarts int
	ended    bool
	last     *collect.Record // of the current test
	files    int             // artefacts of the current test, and their size
	bytes    int
}

func (s *session) message(m Message) error {
	if s.hello == (m.Kind == KindHello) {
		return fmt.Errorf("%w: %v out of order", ErrFrame, m.Kind)
	}
	switch m.Kind {
	case KindStdout, KindStderr, KindCounters, KindDelta, KindArtefact, KindRunEnd:
		if s.run < 0 {
			return fmt.Errorf("%w: %v outside a run", ErrFrame, m.Kind)
		}
	case KindEnd:
		if s.run >= 0 {
			return fmt.Errorf("%w: %v inside a run", ErrFrame, m.Kind)
		}
	}
	switch m.Kind {
	case KindHello:
		v, err := decodeHello(m.Payload)
		if err != nil {
			return err
		}
		s.hello, s.tests = true, v.Tests
		return s.h.Hello(v)
	case KindRunStart:
		v, err := decodeRunStart(m.Payload)
		if err != nil {
			return err
		}
		switch {
		case s.run >= 0 && v.Test != s.run:
			return fmt.Errorf("%w: %v inside a run", ErrFrame, m.Kind)
		case s.run >= 0: // anew
			if s.restarts++; s.restarts > maxRestarts {
				return fmt.Errorf("%w: test %d started %d times", ErrFrame, v.Test, s.restarts)
			}
		case v.Test < s.next || v.Test >= s.tests:
			return fmt.Errorf("%w: run-start of test %d, want %d to %d", ErrFrame, v.Test, s.next, s.tests-1)
		default:
			s.restarts = 0
		}
		s.run, s.next, s.output, s.last, s.files, s.bytes = v.Test, v.Test+1, 0, nil, 0, 0
		return s.h.RunStart(v)
	case KindStdout, KindStderr:
		if s.output += len(m.Payload); s.output > MaxOutput {
			return fmt.Errorf("%w: more than %d bytes of output", ErrFrame, MaxOutput)
		}
		return s.h.Output(m.Kind == KindStderr, m.Payload)
	case KindCounters:
		rec, err := decodeRecord(m.Payload)
		if err != nil {
			return err
		}
		s.last = rec
		return s.h.Counters(rec)
	case KindDelta:
		return s.delta(m.Payload)
	case KindArtefact:
		a, err := decodeArtefact(m.Payload)
		if err != nil {
			return err
		}
		s.files++
		if s.bytes += len(a.Content); s.files > MaxArtefactFiles || s.bytes > MaxArtefacts {
			return fmt.Errorf("%w: more than %d artefacts or %d bytes of them", ErrFrame, MaxArtefactFiles, MaxArtefacts)
		}
		return s.h.Artefact(a)
	case KindRunEnd:
		return s.runEnd(m.Payload)
	case KindLog:
		if s.logs++; s.logs > maxLogs {
			return fmt.Errorf("%w: more than %d log messages", ErrFrame, maxLogs)
		}
		return s.h.Log(string(m.Payload))
	case KindEnd:
		v, err := decodeEnd(m.Payload)
		if err != nil {
			return err
		}
		s.ended = true
		return s.h.End(v)
	}
	return fmt.Errorf("%w: %v", ErrFrame, m.Kind)
}

// delta makes a record of the last one.
func (s *session) delta(payload []byte) error {
	if s.last == nil {
		return fmt.Errorf("%w: delta without counters before it", ErrFrame)
	}
	objects, err := collect.ApplyDelta(s.last.Objects, payload)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	rec := *s.last
	rec.Objects = objects
	s.last = &rec
	return s.h.Counters(&rec)
}

func (s *session) runEnd(payload []byte) error {
	e, b, err := decodeRunEnd(payload)
	if err != nil {
		return err
	}
	if e.Test != s.run {
		return fmt.Errorf("%w: run-end of test %d, want %d", ErrFrame, e.Test, s.run)
	}
	var rec *collect.Record
	if len(b) > 0 {
		if rec, err = decodeRecord(b); err != nil {
			return err
		}
	}
	s.run = -1
	return s.h.RunEnd(e, rec)
}

func decodeRecord(b []byte) (*collect.Record, error) {
	r, err := collect.DecodeRecord(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%w: record: %w", ErrFrame, err)
	}
	return r, nil
}

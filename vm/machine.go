package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/qemu"
)

// machine runs one cell: some boots, of which at most one says hello.
type machine struct {
	c    *CellConfig
	res  *CellResult
	qemu qemu.Config
	hint string // what to say when a boot fails
}

// Deadlines of the host for what the agent should have ended by itself.
const (
	setupTimeout = 90 * time.Second // from hello to the first test, and between tests
	runSlack     = 2 * guest.Slack  // on top of a test's own timeout
	exitTimeout  = 20 * time.Second // for QEMU to end after its guest did
)

var (
	errBootTimeout = errors.New("no hello")
	errHung        = errors.New("the guest stopped answering")
)

// runAll runs all tests in one guest, or each in its own.
func (m *machine) runAll(ctx context.Context) error {
	if !m.c.FreshGuest || len(m.c.Tests) < 2 {
		return m.runWarmOrCold(ctx)
	}
	all := m.c
	for _, t := range all.Tests {
		one := *all
		one.Tests = []guest.Test{t}
		m.c = &one
		m.res.Console = filepath.Join(all.OutDir, FileName(t.Name)+".console.log")
		m.qemu.Console = m.res.Console
		if err := m.runWarmOrCold(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) runWarmOrCold(ctx context.Context) error {
	m.res.Warm = false
	if m.c.Warm && m.c.Root.Share == "" { // QEMU saves no guest that has mounted a share
		if done, err := m.runWarm(ctx); done || err != nil {
			return err
		}
	}
	return m.run(ctx)
}

// run boots a guest with the tests in its archive.
func (m *machine) run(ctx context.Context) error {
	files, err := cellFiles(m.c)
	if err != nil {
		return err
	}
	initrd, err := buildInitramfs(m.c.OutDir, files)
	if err != nil {
		return err
	}
	defer os.Remove(initrd)
	return m.tries(ctx, func(n int, s *session) error { return m.bootCold(ctx, n, initrd, s) })
}

// tries boots until a guest says hello, or often enough.
func (m *machine) tries(ctx context.Context, boot func(n int, s *session) error) error {
	tries := m.c.retries() + 1
	for n := 1; ; n++ {
		s := newSession(m)
		err := boot(n, s)
		if s.hello {
			s.finish(err)
			return ctxError(ctx)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var start *startError
		if errors.As(err, &start) {
			return start.err
		}
		failed := Attempt{Duration: time.Since(s.started), Reason: s.bootReason(err), Console: m.res.Console}
		again := n < tries
		if again {
			keep := filepath.Join(m.c.OutDir, fmt.Sprintf("console.boot%d.log", n))
			if err := os.Rename(m.res.Console, keep); err == nil {
				failed.Console = keep
			}
		}
		m.res.FailedBoots = append(m.res.FailedBoots, failed)
		text := failed.Reason + m.hint
		if again {
			text += fmt.Sprintf("; booting again (%d of %d)", n+1, tries)
		}
		m.c.event(Event{Kind: EventBootFail, Attempt: n, Text: text})
		if !again {
			s.bootFailed(tries)
			return nil
		}
	}
}

func ctxError(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// startError is a QEMU that could not be started at all, which no retry mends.
type startError struct{ err error }

func (e *startError) Error() string { return e.err.Error() }

// bootCold starts a machine with the archive initrd.
func (m *machine) bootCold(ctx context.Context, n int, initrd string, s *session) error {
	s.started = time.Now()
	c := m.qemu
	c.Initrd = initrd
	c.InitArgs = []string{
		guest.TimeParam + "=" + strconv.FormatInt(s.started.UnixNano(), 10),
		guest.LimitParam + "=" + strconv.Itoa(int(guest.Job{Tests: m.c.Tests}.Limit().Seconds())),
	}
	v, err := qemu.Start(context.WithoutCancel(ctx), c) // ended by watch, after what it still has to say
	if err != nil {
		return &startError{err}
	}
	m.c.event(Event{Kind: EventBoot, Attempt: n})
	return m.watch(ctx, v, s, m.c.bootTimeout(c.Accel))
}

// watch receives until the guest's end, and ends it. The error is that of [guest.Receive], or the reason for which the
// host gave up.
func (m *machine) watch(ctx context.Context, v *qemu.VM, s *session, bootTimeout time.Duration) error {
	defer v.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m.res.QEMU = v.Args()
	s.vm = v
	// Which timeout it is depends on how far the guest got.
	s.deadline = newDeadline(bootTimeout, v.Starved, func() { cancel(errDeadline) })
	defer s.deadline.Stop()
	err := guest.Receive(ctx, v.Port(), s)
	s.deadline.Stop()
	switch {
	case errors.Is(err, errDeadline) && !s.hello:
		err = fmt.Errorf("%w after %v", errBootTimeout, bootTimeout)
	case errors.Is(err, errDeadline):
		err = errHung
	}
	if errors.Is(err, guest.ErrFrame) && !s.hello {
		return &startError{fmt.Errorf("agent %s: %w; rebuild it", m.c.Agent, err)}
	}
	ended := false
	if errors.Is(err, guest.ErrNoEnd) {
		// QEMU is about to end by itself; its console has the reason.
		select {
		case <-v.Done():
			ended = true
		case <-time.After(exitTimeout):
		case <-ctx.Done():
		}
	}
	v.Kill() // after the end record there is nothing to wait for
	werr := v.Wait()
	m.res.CPU += v.CPUTime()
	s.console = v.Console()
	if ended && s.hello && werr != nil {
		return fmt.Errorf("%w: %w", guest.ErrNoEnd, werr) // QEMU did not end for what its guest did
	}
	if !s.hello && werr != nil && errors.Is(err, guest.ErrNoEnd) {
		if len(s.console) == 0 {
			return &startError{werr} // QEMU did not accept what it was given
		}
		return werr
	}
	return err
}

var errDeadline = errors.New("deadline")

package vm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/guest/cases"
	"github.com/bpfcov/bpfcov/vm/guest/gotest"
)

// session is what one boot says: the [guest.Handler] of the cell.
type session struct {
	m        *machine
	started  time.Time
	deadline *deadline
	hello    bool
	runs     []*run // those that started
	current  *run
	console  []byte // set when QEMU has ended
	vm       guestConsole
}

// guestConsole is the console of a [qemu.VM].
type guestConsole interface {
	Console() []byte
	ConsoleSize() int64
}

// mark is where the console is now.
func (s *session) mark() int64 {
	if s.vm == nil {
		return 0
	}
	return s.vm.ConsoleSize()
}

// during returns what the console printed from the start of a run to that of the next.
func (s *session) during(r *run) []byte {
	if s.vm == nil {
		return nil
	}
	text := s.vm.Console()
	end := s.vm.ConsoleSize()
	from := end - int64(len(text)) // of text; what was before is no longer known
	for i, o := range s.runs {
		if o == r && i+1 < len(s.runs) {
			end = s.runs[i+1].console
		}
	}
	start, stop := max(r.console-from, 0), max(end-from, 0)
	return text[min(start, stop):stop]
}

// run is one test in one boot.
type run struct {
	test    guest.Test
	id      string
	started time.Time
	cases   cases.Parser
	out     [2]io.Writer // stdout, stderr
	files   [2]*os.File
	last    *collect.Record // latest snapshot, or the final record
	final   bool
	end     *guest.RunEnd
	ioErr   error
	// console is how far the console was at the start.
	console int64
	// artefacts is set when the folder for them was made.
	artefacts bool
}

func newSession(m *machine) *session { return &session{m: m} }

// Hello implements [guest.Handler].
func (s *session) Hello(h guest.Hello) error {
	s.hello = true
	res := s.m.res
	res.Boot = time.Since(s.started)
	if h.Release != "" && len(h.Release) <= 64 { // __NEW_UTS_LEN
		res.Cell.Kernel = h.Release
	}
	s.deadline.Reset(setupTimeout)
	s.m.c.event(Event{Kind: EventHello, Boot: res.Boot, Text: h.Release})
	if h.Tests != len(s.m.c.Tests) {
		return fmt.Errorf("%w: hello announces %d tests, want %d", guest.ErrFrame, h.Tests, len(s.m.c.Tests))
	}
	return nil
}

// RunStart implements [guest.Handler].
func (s *session) RunStart(st guest.RunStart) error {
	t := s.m.c.Tests[st.Test] // in range: hello's number was checked
	r := &run{test: t, id: collect.NewRunID(), started: time.Now(), console: s.mark()}
	if was := s.current; was != nil { // anew
		was.close()
		r.id = was.id
		s.runs[len(s.runs)-1] = r
	} else {
		s.runs = append(s.runs, r)
	}
	s.current = r
	if err := r.open(s.m.c); err != nil {
		return err
	}
	s.deadline.Reset(t.Deadline() + runSlack)
	s.m.c.event(Event{Kind: EventTestStart, Test: t.Name})
	return nil
}

// Output implements [guest.Handler].
func (s *session) Output(stderr bool, p []byte) error {
	r, i := s.current, 0
	if stderr {
		i = 1
	} else {
		r.cases.Write(p)
	}
	if r.out[i] == nil {
		return nil
	}
	if _, err := r.out[i].Write(p); err != nil && r.ioErr == nil {
		r.ioErr = err
		r.out[i] = nil // the test goes on, and its counters are worth having
	}
	return nil
}

// Counters implements [guest.Handler].
func (s *session) Counters(rec *collect.Record) error {
	s.current.last = rec
	s.partial(s.current)
	return nil
}

// Artefact implements [guest.Handler].
func (s *session) Artefact(a guest.Artefact) error {
	r := s.current
	if err := r.artefact(s.m.c, a); err != nil && r.ioErr == nil {
		r.ioErr = err // the test goes on, and its counters are worth having
	}
	return nil
}

// partial hands on what is known of a run that goes on.
func (s *session) partial(r *run) {
	if s.m.c.Partial == nil {
		return
	}
	rec := s.base(r.test)
	rec.Run.ID, rec.Run.Duration, rec.Run.Partial = r.id, time.Since(r.started), true
	rec.Run.Outcome, rec.Run.Reason = collect.Lost, "bpfcov itself ended before the test did"
	if r.last != nil {
		rec.Objects, rec.Programs = r.last.Objects, r.last.Programs
	}
	s.m.c.Partial(&rec)
}

// RunEnd implements [guest.Handler].
func (s *session) RunEnd(e guest.RunEnd, rec *collect.Record) error {
	r := s.current
	s.current = nil
	r.end = &e
	if rec != nil {
		r.last, r.final = rec, true
	}
	r.close()
	s.deadline.Reset(setupTimeout)
	record := s.record(r)
	if s.m.c.Partial != nil && len(s.runs) < len(s.m.c.Tests) { // the last one ends the cell
		s.m.c.Partial(&record)
	}
	s.m.c.event(Event{Kind: EventTestEnd, Test: r.test.Name, Run: &record.Run})
	return nil
}

// Log implements [guest.Handler].
func (s *session) Log(text string) error {
	text = printable(text)
	s.m.res.Logs = append(s.m.res.Logs, text)
	s.m.c.event(Event{Kind: EventLog, Text: text})
	return nil
}

// End implements [guest.Handler].
func (s *session) End(e guest.End) error {
	if e.Runs != len(s.m.c.Tests) || len(s.runs) != e.Runs {
		return fmt.Errorf("%w: end after %d of %d tests", guest.ErrFrame, len(s.runs), len(s.m.c.Tests))
	}
	return nil
}

// record makes the record of a test whose end was seen.
func (s *session) record(r *run) collect.Record {
	rec := s.base(r.test)
	rec.Run.ID, rec.Run.Duration = r.id, r.end.Duration
	rec.Run.ExitCode, rec.Run.Signal = r.end.ExitCode, printable(r.end.Signal)
	rec.Run.Cases = r.cases.Cases()
	rec.Run.Loads = max(0, r.end.Loads)
	if r.last != nil {
		rec.Objects, rec.Programs = r.last.Objects, r.last.Programs
		rec.Run.Partial = !r.final
	}
	set := func(o collect.Outcome, format string, args ...any) {
		rec.Run.Outcome, rec.Run.Reason = o, fmt.Sprintf(format, args...)
	}
	switch e := r.end; {
	case e.TimedOut:
		set(collect.TimedOut, "killed after %v", r.test.Deadline())
	case e.Error != "":
		set(collect.Failed, "%s", firstLine(printable(e.Error)))
	case e.Signal != "":
		set(collect.Failed, "killed by %s", rec.Run.Signal)
	case e.ExitCode != 0:
		set(collect.Failed, "exit status %d", e.ExitCode)
		if failed := gotest.Failed(rec.Run.Cases); len(failed) > 0 {
			rec.Run.Reason += ": " + shortList(failed)
		}
	case r.ioErr != nil:
		set(collect.Failed, "output not written: %v", r.ioErr)
	default:
		rec.Run.Outcome = collect.Passed
	}
	text := s.during(r)
	if found := splats(text); len(found) > 0 {
		_, rec.Run.Console = telling(text)
		if rec.Run.Outcome == collect.Passed && !s.m.c.AllowSplats {
			set(collect.Failed, "the test passed, but the kernel reported: %s (allow-splats accepts it)", withoutTime(found[0]))
		}
	}
	return rec
}

// base is the part of a record that does not depend on what happened.
func (s *session) base(t guest.Test) collect.Record {
	return collect.Record{Run: collect.Run{
		Cell: s.m.res.Cell, Test: t.Name, Command: t.Command, Boot: s.m.res.Boot, ExitCode: -1,
	}}
}

// finish makes the cell's records after a boot that said hello. cause is nil after a proper end.
func (s *session) finish(cause error) {
	res := s.m.res
	res.Splats = append(res.Splats, splats(s.console)...)
	outcome, reason, tail := s.why(cause)
	lostIn := ""
	byName := map[string]collect.Record{}
	for _, r := range s.runs {
		if r.end != nil {
			rec := s.record(r)
			byName[r.test.Name] = rec
			continue
		}
		r.close()
		rec := s.base(r.test)
		rec.Run.ID, rec.Run.Duration, rec.Run.Partial = r.id, time.Since(r.started), true
		rec.Run.Outcome, rec.Run.Reason, rec.Run.Console = outcome, reason, tail
		rec.Run.Cases = r.cases.Cases()
		if r.last != nil {
			rec.Objects, rec.Programs = r.last.Objects, r.last.Programs
		}
		byName[r.test.Name] = rec
		lostIn = r.test.Name
		s.m.c.event(Event{Kind: EventTestEnd, Test: r.test.Name, Run: &rec.Run})
	}
	for _, t := range s.m.c.Tests {
		rec, ok := byName[t.Name]
		if !ok {
			rec = s.base(t)
			rec.Run.ID = collect.NewRunID()
			rec.Run.Outcome, rec.Run.Console = collect.Lost, tail
			rec.Run.Reason = "not run: " + reason
			if lostIn != "" {
				rec.Run.Reason = fmt.Sprintf("not run: in test %s: %s", lostIn, reason)
				rec.Run.Console = nil // that test has it
			}
		}
		res.Records = append(res.Records, rec)
	}
}

// why explains a stream that ended without the end record.
func (s *session) why(cause error) (o collect.Outcome, reason string, tail []string) {
	if cause == nil {
		return collect.Passed, "", nil
	}
	text := s.console
	if s.current != nil {
		if its := s.during(s.current); len(its) > 0 {
			text = its // and not what an earlier test did
		}
	}
	line, tail := telling(text)
	switch {
	case strings.Contains(line, "Attempted to kill init"): // nothing but its own bug can end the agent
		return collect.Lost, "the agent crashed: " + line, tail
	case line != "" && panicRE().MatchString(line):
		return collect.Panicked, line, tail
	case errors.Is(cause, errHung):
		reason := "the guest stopped answering"
		if s.current != nil {
			reason = fmt.Sprintf("the guest stopped answering; killed %v after the test's timeout of %v", runSlack, s.current.test.Deadline())
		}
		if line != "" {
			reason += ": " + line
		}
		return collect.TimedOut, reason, tail
	case errors.Is(cause, guest.ErrNoEnd):
		reason := guest.ErrNoEnd.Error()
		if text := cause.Error(); text != reason { // QEMU's own end
			reason = firstLine(printable(text))
		} else if line != "" {
			reason += ": " + line
		}
		return collect.Lost, reason, tail
	}
	return collect.Lost, cause.Error(), tail
}

// bootReason explains a boot without hello in one line.
func (s *session) bootReason(err error) string {
	line, _ := telling(s.console)
	reason := "boot: no hello"
	switch {
	case errors.Is(err, errBootTimeout):
		reason = "boot: " + err.Error()
	case errors.Is(err, guest.ErrNoEnd):
		reason = "boot: the guest ended without hello"
	case err != nil:
		reason = "boot: " + err.Error()
	}
	if line != "" {
		reason += fmt.Sprintf(" (console: %q)", line)
	}
	return reason
}

// bootFailed makes the records of a cell that never came up.
func (s *session) bootFailed(tries int) {
	res := s.m.res
	_, tail := telling(s.console)
	res.Splats = append(res.Splats, splats(s.console)...)
	last := res.FailedBoots[len(res.FailedBoots)-1]
	for _, t := range s.m.c.Tests {
		rec := s.base(t)
		rec.Run.ID = collect.NewRunID()
		rec.Run.Outcome, rec.Run.Console = collect.BootFailed, tail
		rec.Run.Reason = last.Reason + s.m.hint
		if tries > 1 {
			rec.Run.Reason += fmt.Sprintf(", %d boots", tries)
		}
		res.Records = append(res.Records, rec)
	}
}

// open prepares where the test's output goes.
func (r *run) open(c *CellConfig) error {
	if c.Output != nil {
		r.out[0], r.out[1] = c.Output(r.test)
		return nil
	}
	for i, ext := range []string{".stdout", ".stderr"} {
		f, err := os.Create(filepath.Join(c.OutDir, FileName(r.test.Name)+ext))
		if err != nil {
			return err
		}
		r.files[i], r.out[i] = f, f
	}
	return nil
}

func (r *run) close() {
	for _, f := range r.files {
		if f != nil {
			if err := f.Close(); err != nil && r.ioErr == nil {
				r.ioErr = err
			}
		}
	}
	r.files = [2]*os.File{}
}

// FileName turns a test's name into a file name: what is not a letter, a digit or one of "._-" becomes "_".
func FileName(name string) string {
	s := regexp.MustCompile(`[^A-Za-z0-9._-]`).ReplaceAllString(name, "_")
	if strings.Trim(s, ".") == "" {
		s = "_" + s
	}
	return s[:min(len(s), 100)]
}

func shortList(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

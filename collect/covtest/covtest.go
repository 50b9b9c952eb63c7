//go:build linux

package covtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

const (
	// dirEnv names the covdata folder; without it nothing is watched.
	dirEnv = "BPFCOV_COVDATA"
	// childEnv tells the watched test binary that it is.
	childEnv = "BPFCOV_COVTEST_CHILD"
	// markFD is its end of the socket.
	markFD = 3
)

// marks is the watched binary's way to tell the watcher where tests begin and end.
var marks struct {
	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
}

// Main runs the tests and exits: it is all of TestMain. The exit status is that of the tests, or 1 when they could not be watched
// although the environment asks for it.
func Main(m *testing.M) {
	collect.MaybeShim()
	dir := os.Getenv(dirEnv)
	switch {
	case os.Getenv(childEnv) != "":
		os.Unsetenv(childEnv) // what the tests start is not the watched binary
		f := os.NewFile(markFD, "marks")
		conn, err := net.FileConn(f)
		f.Close()
		if err == nil {
			marks.conn, marks.in = conn, bufio.NewReader(conn)
		}
		os.Exit(m.Run())
	case dir == "":
		os.Exit(m.Run())
	}
	code, err := watch(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "covtest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Count makes what counts from now until the end of t that of t. Tests that run at the same time cannot be told apart: what they
// count is in the record of the whole binary. It does nothing when nothing is watched.
func Count(t testing.TB) {
	t.Helper()
	os.Getenv(dirEnv) // lets "go test" know that a result it has cached depends on the variable
	if !tell("start", t.Name()) {
		return
	}
	t.Cleanup(func() {
		outcome := collect.Passed
		switch {
		case t.Failed():
			outcome = collect.Failed
		case t.Skipped():
			outcome = collect.Skipped
		}
		tell("end "+string(outcome), t.Name())
	})
}

// tell sends a mark and waits until the counters were read.
func tell(what, test string) bool {
	marks.mu.Lock()
	defer marks.mu.Unlock()
	if marks.conn == nil {
		return false
	}
	if _, err := fmt.Fprintf(marks.conn, "%s\t%q\n", what, test); err != nil {
		return false
	}
	_, err := marks.in.ReadString('\n')
	return err == nil
}

// uncached are the arguments without the file in which "go test" looks up what the tests read. Without it, the result of a watched
// run is not cached (cmd/go/internal/test, saveOutput of Go 1.26): a cached one would write no record.
func uncached(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasPrefix(a, "-test.testlogfile=") })
}

// watch runs this binary once more and writes what it counted.
func watch(dir string) (code int, err error) {
	// A folder that cannot be written to is better known before the tests have run.
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return 1, err
	}
	cell, err := collect.HostCell()
	if err != nil {
		return 1, err
	}
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 1, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "marks"), os.NewFile(uintptr(pair[1]), "marks")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return 1, err
	}
	defer conn.Close()

	exe, err := os.Executable()
	if err != nil {
		return 1, err
	}
	cmd := exec.Command(exe, uncached(os.Args[1:])...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.ExtraFiles = []*os.File{theirs}
	// The terminal's signals reach the watched binary too, and it is for it to end.
	signal.Ignore(os.Interrupt, syscall.SIGQUIT)
	forward(cmd)

	var l ledger
	var wg sync.WaitGroup
	res, err := collect.Watch(context.Background(), cmd, collect.WatchOptions{
		Watching: func(read func() []collect.ObjectCounters) {
			theirs.Close()
			wg.Go(func() { l.listen(conn, read) })
		},
		Log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, "covtest: "+format+"\n", args...) },
	})
	if err != nil {
		return 1, fmt.Errorf("%w; without %s the tests run unwatched", err, dirEnv)
	}
	conn.Close()
	wg.Wait()
	rec := &collect.Record{Run: collect.Run{ID: collect.NewRunID(), Cell: cell, Test: filepath.Base(exe), Command: cmd.Args}}
	res.Fill(rec)
	if err := res.Release(); err != nil {
		fmt.Fprintln(os.Stderr, "covtest:", err)
	}
	code = rec.Run.ExitCode
	if rec.Run.Signal != "" {
		code = 1
	}
	if err := res.Diagnose(); err != nil {
		return code, err
	}
	return code, save(dir, l.records(rec))
}

// forward hands a request to end on to the watched binary.
func forward(cmd *exec.Cmd) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	go func() {
		for s := range c {
			if cmd.Process != nil {
				cmd.Process.Signal(s)
			}
		}
	}()
}

// listen books marks until the watched binary is gone. What comes from it is a name, for a record.
func (l *ledger) listen(conn net.Conn, read func() []collect.ObjectCounters) {
	in := bufio.NewScanner(conn)
	for in.Scan() {
		what, name, _ := strings.Cut(in.Text(), "\t")
		var test string
		if _, err := fmt.Sscanf(name, "%q", &test); err == nil {
			if outcome, end := strings.CutPrefix(what, "end "); end {
				l.end(test, collect.Outcome(outcome), read())
			} else {
				l.start(test, read())
			}
		}
		if _, err := conn.Write([]byte("\n")); err != nil {
			return
		}
	}
}

// records are one for each test, and one for the whole binary with what is left, which has the programs too.
func (l *ledger) records(whole *collect.Record) []collect.Record {
	records := []collect.Record{*whole}
	records[0].Objects = l.rest(whole.Objects)
	for _, name := range l.order {
		e := l.tests[name]
		run := whole.Run
		run.ID, run.Test, run.Loads, run.Duration, run.ExitCode, run.Signal = collect.NewRunID(), whole.Run.Test+"/"+name, 0, 0, 0, ""
		run.Outcome, run.Reason = e.outcome, ""
		switch e.outcome {
		case collect.Passed:
		case collect.Failed, collect.Skipped:
			run.Reason = string(e.outcome)
		default:
			run.Outcome, run.Reason, run.Partial = collect.Lost, "its end was not seen", true
		}
		records = append(records, collect.Record{Run: run, Objects: e.objects})
	}
	return records
}

func save(dir string, records []collect.Record) error {
	_, err := collect.Save(dir, records, meta.SearchDirs()...)
	var missing *collect.MissingMetaError
	if errors.As(err, &missing) {
		fmt.Fprintln(os.Stderr, "covtest:", err)
		return nil
	}
	return err
}

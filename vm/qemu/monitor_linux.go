package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// monitor speaks QMP, QEMU's machine protocol (docs/interop/qmp-spec.txt of QEMU): JSON objects, one a line.
type monitor struct {
	f   *os.File
	dec *bufio.Reader
}

// monitorLimit bounds one answer of QEMU, which a guest cannot write but might have taken over.
const monitorLimit = 1 << 20

var errMonitor = errors.New("QEMU's monitor")

func newMonitor(f *os.File) *monitor { return &monitor{f: f, dec: bufio.NewReaderSize(f, 4096)} }

// line reads one object.
func (m *monitor) line() ([]byte, error) {
	var b []byte
	for {
		part, err := m.dec.ReadSlice('\n')
		b = append(b, part...)
		switch {
		case len(b) > monitorLimit:
			return nil, fmt.Errorf("%w: an answer of more than %d bytes", errMonitor, monitorLimit)
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF:
			return nil, fmt.Errorf("%w: closed", errMonitor)
		case err != nil:
			return nil, fmt.Errorf("%w: %w", errMonitor, err)
		}
		return b, nil
	}
}

// do runs a command, with an open file for "getfd" or nil, and stores what it returns in answer, if that is not nil.
func (m *monitor) do(command string, args map[string]any, file *os.File, answer any) error {
	msg := map[string]any{"execute": command}
	if args != nil {
		msg["arguments"] = args
	}
	b, err := json.Marshal(msg)
	if err != nil {
		return err
	}
	if file != nil {
		raw, err := m.f.SyscallConn()
		if err != nil {
			return err
		}
		var serr error
		if err := raw.Write(func(fd uintptr) bool {
			serr = unix.Sendmsg(int(fd), b, unix.UnixRights(int(file.Fd())), nil, 0)
			return serr != unix.EAGAIN
		}); err != nil {
			serr = err
		}
		if serr != nil {
			return fmt.Errorf("%w: %s: %w", errMonitor, command, serr)
		}
	} else if _, err := m.f.Write(b); err != nil {
		return fmt.Errorf("%w: %s: %w", errMonitor, command, err)
	}
	for {
		b, err := m.line()
		if err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		var r struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		switch err := json.Unmarshal(b, &r); {
		case err != nil:
			return fmt.Errorf("%w: %s: %w", errMonitor, command, err)
		case r.Error != nil:
			return fmt.Errorf("%w: %s: %s", errMonitor, command, r.Error.Desc)
		case r.Return == nil:
			continue // an event, or the greeting
		case answer == nil:
			return nil
		}
		return json.Unmarshal(r.Return, answer)
	}
}

// open begins the session. Memory that is shared with a file is left out of the state: the file has it.
func (m *monitor) open() error {
	if err := m.do("qmp_capabilities", nil, nil, nil); err != nil {
		return err
	}
	on := []map[string]any{{"capability": "x-ignore-shared", "state": true}}
	return m.do("migrate-set-capabilities", map[string]any{"capabilities": on}, nil, nil)
}

// migrated waits until a migration has come to an end.
func (m *monitor) migrated(ctx context.Context) error {
	for {
		var st struct {
			Status string
			Error  string `json:"error-desc"`
		}
		if err := m.do("query-migrate", nil, nil, &st); err != nil {
			return err
		}
		switch st.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("migration %s: %s", st.Status, st.Error)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Save stops the machine for good and writes the state of its devices to state. Together with the file of
// [Config.RAM] it is all that [Config.Incoming] needs.
func (v *VM) Save(ctx context.Context, state *os.File) error {
	return v.talk(ctx, func() error {
		if err := v.monitor.open(); err != nil {
			return err
		}
		if err := v.monitor.do("getfd", map[string]any{"fdname": "state"}, state, nil); err != nil {
			return err
		}
		if err := v.monitor.do("migrate", map[string]any{"uri": "fd:state"}, nil, nil); err != nil {
			return err
		}
		return v.monitor.migrated(ctx)
	})
}

// resume lets a machine that waits for a state read it. The guest goes on by itself.
func (v *VM) resume(ctx context.Context, fd int) error {
	return v.talk(ctx, func() error {
		if err := v.monitor.open(); err != nil {
			return err
		}
		return v.monitor.do("migrate-incoming", map[string]any{"uri": fmt.Sprintf("fd:%d", fd)}, nil, nil)
	})
}

// talk interrupts the monitor's reads and writes when ctx ends.
func (v *VM) talk(ctx context.Context, f func() error) error {
	if v.monitor == nil {
		return fmt.Errorf("%w: the machine has none", errMonitor)
	}
	stop := context.AfterFunc(ctx, func() { v.monitor.f.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := f()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

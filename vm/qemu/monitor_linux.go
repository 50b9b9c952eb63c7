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

// do runs a command and stores what it returns in answer, if that is not nil.
func (m *monitor) do(command string, args map[string]any, answer any) error {
	if err := m.send(command, args, nil); err != nil {
		return err
	}
	return m.receive(command, answer)
}

// send begins a command, with an open file for "getfd" or nil. QEMU runs commands in their order.
func (m *monitor) send(command string, args map[string]any, file *os.File) error {
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
	return nil
}

// receive waits for the end of the oldest command that has not been waited for.
func (m *monitor) receive(command string, answer any) error {
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

// ignoreShared is the capability that leaves memory that is shared with a file out of the state.
const ignoreShared = "x-ignore-shared"

// open begins the session, and runs a last command. With the capability memory that is shared with a file is left out of the state: the
// file has it. QEMU, which reads its monitor a byte at a time, need not wait for us between the commands.
func (m *monitor) open(capability bool, last string, args map[string]any, file *os.File) error {
	set := []map[string]any{{"capability": ignoreShared, "state": capability}}
	commands := []struct {
		name string
		args map[string]any
		file *os.File
	}{{"qmp_capabilities", nil, nil}, {"migrate-set-capabilities", map[string]any{"capabilities": set}, nil}, {last, args, file}}
	for _, c := range commands {
		if err := m.send(c.name, c.args, c.file); err != nil {
			return err
		}
	}
	for _, c := range commands {
		if err := m.receive(c.name, nil); err != nil {
			return err
		}
	}
	return nil
}

// migrated waits until a migration has come to an end.
func (m *monitor) migrated(ctx context.Context) error {
	for {
		var st struct {
			Status string
			Error  string `json:"error-desc"`
		}
		if err := m.do("query-migrate", nil, &st); err != nil {
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
		if err := v.monitor.open(true, "getfd", map[string]any{"fdname": "state"}, state); err != nil {
			return err
		}
		if err := v.monitor.do("migrate", map[string]any{"uri": "fd:state"}, nil); err != nil {
			return err
		}
		if err := v.monitor.migrated(ctx); err != nil {
			return err
		}
		return shorten(state)
	})
}

// resume lets a machine that waits for a state read it. The guest goes on by itself, or when its timers have been set again.
func (v *VM) resume(ctx context.Context, c Config) error {
	return v.talk(ctx, func() error {
		err := v.monitor.open(needsCapability(c.Incoming), "migrate-incoming", map[string]any{"uri": fmt.Sprintf("fd:%d", stateFD)}, nil)
		if err != nil || v.gdb == nil {
			return err
		}
		if err := v.monitor.migrated(ctx); err != nil {
			return err
		}
		if err := v.gdb.rearm(max(c.CPUs, 1)); err != nil {
			return err
		}
		return v.gdb.detach()
	})
}

// talk interrupts reads and writes of the monitor and the stub when ctx ends.
func (v *VM) talk(ctx context.Context, f func() error) error {
	if v.monitor == nil {
		return fmt.Errorf("%w: the machine has none", errMonitor)
	}
	stop := context.AfterFunc(ctx, func() {
		v.monitor.f.SetDeadline(time.Unix(1, 0))
		if v.gdb != nil {
			v.gdb.f.SetDeadline(time.Unix(1, 0))
		}
	})
	defer stop()
	err := f()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

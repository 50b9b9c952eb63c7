package vm

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/internal/warm"
	"github.com/bpfcov/bpfcov/vm/qemu"
)

// resumeTimeout is how long a resumed guest may take to its hello, without what its files take: it is nearly there.
const resumeTimeout = 30 * time.Second

// saveTimeout is how long it may take to write a guest to disk.
const saveTimeout = 2 * time.Minute

// filesPerSecond is a low estimate of the bytes per second that files take to a resumed guest.
const filesPerSecond = 2 << 20

// runWarm runs the tests in a resumed guest. When it reports false there was none that said hello, and nothing has
// been lost but time.
func (m *machine) runWarm(ctx context.Context) (done bool, err error) {
	job := guest.Job{Sysctls: m.c.Sysctls, Warm: true}
	files, err := agentFiles(m.c, job)
	if err != nil {
		return false, err
	}
	saved, sent := savedFiles(m.c)
	files = append(files, saved...)
	giveUp := func(what string, err error) {
		m.c.event(Event{Kind: EventLog, Text: fmt.Sprintf("%s: %v; booting cold", what, err)})
	}
	store, err := warm.Open(m.c.CacheDir)
	if err != nil {
		giveUp("no folder for saved guests", err)
		return false, nil
	}
	key, err := m.warmKey(files)
	if err != nil {
		return false, err
	}
	state, err := store.Get(key)
	if errors.Is(err, os.ErrNotExist) {
		if err := m.save(ctx, store, key, files); err != nil {
			if ctx.Err() == nil {
				giveUp("no guest could be saved", err)
			}
			return false, ctxError(ctx)
		}
		state, err = store.Get(key)
	}
	if err != nil {
		giveUp("no saved guest", err)
		return false, nil
	}
	defer state.Close()
	s := newSession(m)
	err = m.resume(ctx, state, sent, s)
	if !s.hello {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		store.Remove(key)
		giveUp("the saved guest was thrown away", errors.New(s.bootReason(err)))
		return false, nil
	}
	m.res.Warm = true
	s.finish(err)
	// A guest may have been saved with a fault that shows only now: it is not to fail each run from here on.
	for i := range m.res.Records {
		if o := m.res.Records[i].Run.Outcome; o == collect.Panicked || o == collect.Lost {
			store.Remove(key)
			break
		}
	}
	return true, ctxError(ctx)
}

// warmKey identifies the machine that is saved by all that makes it what it is.
func (m *machine) warmKey(files []initramfs.File) (warm.Key, error) {
	k := warm.NewKey()
	c := m.qemu
	c.Console, c.Initrd = "", "initrd"
	args, err := qemu.Command(c)
	if err != nil {
		return warm.Key{}, err
	}
	k.Strings(args...)
	for _, name := range []string{c.Binary, c.Kernel, c.Disk} {
		if name == "" {
			continue
		}
		if err := k.Identity(name); err != nil {
			return warm.Key{}, err
		}
	}
	for _, f := range files {
		k.Strings(f.Path, f.Mode.String(), f.Link)
		if err := k.Content(f.Source, f.Data); err != nil {
			return warm.Key{}, err
		}
	}
	return k.Sum(), nil
}

// save boots a guest until it is ready and saves it.
func (m *machine) save(ctx context.Context, store *warm.Store, key warm.Key, files []initramfs.File) error {
	initrd, err := buildInitramfs(m.c.OutDir, files)
	if err != nil {
		return err
	}
	defer os.Remove(initrd)
	tries := m.c.retries() + 1
	for n := 1; ; n++ {
		start := time.Now()
		console, err := m.bootAndSave(ctx, store, key, initrd, n)
		if err == nil {
			m.c.event(Event{Kind: EventSaved, Boot: time.Since(start), Text: store.Dir(key)})
			return nil
		}
		if ctx.Err() != nil || !errors.Is(err, errNotReady) || n == tries {
			return err
		}
		m.res.FailedBoots = append(m.res.FailedBoots, Attempt{time.Since(start), err.Error(), console})
		m.c.event(Event{Kind: EventBootFail, Attempt: n, Text: fmt.Sprintf("%v%s; booting again (%d of %d)", err, m.hint, n+1, tries)})
	}
}

var errNotReady = errors.New("boot: the guest did not become ready")

func (m *machine) bootAndSave(ctx context.Context, store *warm.Store, key warm.Key, initrd string, n int) (console string, err error) {
	draft, err := store.Create(key)
	if err != nil {
		return "", err
	}
	defer draft.Discard()
	c := m.qemu
	c.Initrd, c.Save, c.RAM = initrd, true, draft.RAM
	c.Console = filepath.Join(m.c.OutDir, fmt.Sprintf("console.save%d.log", n))
	timeout := m.c.bootTimeout(c.Accel)
	v, err := qemu.Start(ctx, c)
	if err != nil {
		return "", err
	}
	defer v.Close()
	m.c.event(Event{Kind: EventBoot, Attempt: n})
	late := newDeadline(timeout, v.Starved, func() { v.Port().SetReadDeadline(time.Unix(1, 0)) })
	err = guest.WaitReady(v.Port())
	late.Stop()
	if err == nil {
		saving, cancel := context.WithTimeout(ctx, saveTimeout)
		err = v.Save(saving, draft.State)
		cancel()
		v.Kill()
		v.Wait()
		m.res.CPU += v.CPUTime()
		if err != nil {
			return "", fmt.Errorf("save: %w", err)
		}
		os.Remove(c.Console) // it has what the guest printed on its way to a state that worked
		return "", draft.Keep()
	}
	v.Kill()
	v.Wait()
	m.res.CPU += v.CPUTime()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("not within %v", timeout)
	}
	line, _ := telling(v.Console())
	if line != "" {
		err = fmt.Errorf("%w (console: %q)", err, line)
	}
	return c.Console, fmt.Errorf("%w: %w", errNotReady, err)
}

// resume starts a saved guest, sends it the files of the tests, tells it what to do, and receives until its end.
func (m *machine) resume(ctx context.Context, state *warm.State, tests []initramfs.File, s *session) error {
	s.started = time.Now()
	c := m.qemu
	c.Initrd = "" // the guest has unpacked it
	c.RAM, c.Incoming = state.RAM, state.State
	files, open, size, err := orders(tests)
	if err != nil {
		return err
	}
	job, err := guest.Job{Tests: m.c.Tests}.Encode()
	if err != nil {
		return err
	}
	timeout := resumeTimeout + time.Duration(size/filesPerSecond)*time.Second
	// Both ends apply until QEMU has read the state if it is told to read it; after that it is watch that ends it.
	begin, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	late := time.AfterFunc(timeout, func() { cancel(errBootTimeout) })
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	v, err := qemu.Start(begin, c)
	late.Stop()
	stop()
	if err != nil {
		return err
	}
	defer v.Close()
	m.c.event(Event{Kind: EventResume})
	sent := make(chan error, 1)
	go func() {
		r := guest.Resume{Time: time.Now(), Seed: make([]byte, 64)}
		rand.Read(r.Seed)
		err := guest.Send(v.Port(), r, files, open, job)
		if err != nil {
			v.Kill() // the guest waits for the rest
		}
		sent <- err
	}()
	err = m.watch(ctx, v, s, timeout)
	if serr := <-sent; serr != nil && !s.hello && ctx.Err() == nil {
		return fmt.Errorf("%w (%w)", err, serr)
	}
	return err
}

// orders turns files into what is sent to a guest.
func orders(list []initramfs.File) (files []guest.File, open func(int) (io.ReadCloser, error), size int64, err error) {
	list, err = initramfs.Plan(list)
	if err != nil {
		return nil, nil, 0, err
	}
	for _, f := range list {
		g := guest.File{Path: f.Path, Mode: f.Mode, Link: f.Link, Size: int64(len(f.Data))}
		if f.Source != "" {
			st, err := os.Stat(f.Source)
			if err != nil {
				return nil, nil, 0, fmt.Errorf("file %s: %w", f.Path, err)
			}
			g.Size = st.Size()
			if g.Mode == 0 {
				g.Mode = st.Mode().Perm()
			}
		}
		if g.Mode == 0 {
			g.Mode = 0o644
		}
		size += g.Size
		files = append(files, g)
	}
	return files, func(i int) (io.ReadCloser, error) {
		if list[i].Source == "" {
			return io.NopCloser(bytes.NewReader(list[i].Data)), nil
		}
		return os.Open(list[i].Source)
	}, size, nil
}

package filewatch

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/perf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
)

// Hook is how opens are noticed.
type Hook string

// The hooks. Fentry is cheaper and resolves paths as the process sees them. The empty Hook takes
// Fentry where the kernel has it.
const (
	Fentry Hook = "fentry"
	Kprobe Hook = "kprobe"
)

// Buffer is how events reach user space.
type Buffer string

// The buffers. The empty Buffer takes Ring where the kernel has it.
const (
	Ring Buffer = "ring"
	Perf Buffer = "perf"
)

// Options configure [Start]. The zero value is valid.
type Options struct {
	Filter Filter
	Hook   Hook
	Buffer Buffer
	// IncludeSelf reports the watching process as well. It makes a loop when events are written
	// in a way that opens files.
	IncludeSelf bool
}

// Watcher receives events until it is closed.
type Watcher struct {
	// Hook and Buffer are what was chosen.
	Hook   Hook
	Buffer Buffer

	coll   *ebpf.Collection
	links  []link.Link
	reader recordReader
	lost   uint64
}

// Start loads the BPF programs and attaches them. It needs root, or CAP_BPF and CAP_PERFMON.
func Start(o Options) (*Watcher, error) {
	w := &Watcher{Hook: o.Hook, Buffer: o.Buffer}
	if err := w.start(o); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *Watcher) start(o Options) error {
	filter, err := o.Filter.encode()
	if err != nil {
		return err
	}
	// Kernels before 5.11 charge maps to RLIMIT_MEMLOCK.
	if err := rlimit.RemoveMemlock(); err != nil {
		return err
	}
	spec, err := loadProbe()
	if err != nil {
		return fmt.Errorf("read BPF object: %w", err)
	}
	if err := w.chooseBuffer(spec); err != nil {
		return err
	}
	stage, err := w.chooseHook(spec)
	if err != nil {
		return err
	}
	if !o.IncludeSelf {
		if err := spec.Variables[probeVarIgnoredPid].Set(uint32(os.Getpid())); err != nil {
			return err
		}
	}
	w.coll, err = ebpf.NewCollection(spec)
	if err != nil {
		return fmt.Errorf("load BPF object: %w", err)
	}
	if err := w.setFilter(filter); err != nil {
		return err
	}
	if stage != "" {
		err := w.coll.Maps[probeMapStages].Put(uint32(0), w.coll.Programs[stage])
		if err != nil {
			return fmt.Errorf("set tail call to %s: %w", stage, err)
		}
	}
	open := newRingReader
	if w.Buffer == Perf {
		open = newPerfReader
	}
	if w.reader, err = open(w.coll.Maps[probeMapEvents]); err != nil {
		return fmt.Errorf("open %s buffer: %w", w.Buffer, err)
	}
	return w.attach()
}

// chooseBuffer makes "events" of spec a ring or a perf buffer.
func (w *Watcher) chooseBuffer(spec *ebpf.CollectionSpec) error {
	if w.Buffer == "" {
		ok, err := haveRingbuf()
		if err != nil {
			return fmt.Errorf("look for ring buffers: %w", err)
		}
		w.Buffer = Perf
		if ok {
			w.Buffer = Ring
		}
	}
	switch w.Buffer {
	case Ring:
		return nil
	case Perf:
		events := spec.Maps[probeMapEvents]
		events.Type = ebpf.PerfEventArray
		events.KeySize, events.ValueSize = 4, 4
		events.MaxEntries = 0 // as many as CPUs
		return spec.Variables[probeVarUseRingbuf].Set(false)
	}
	return fmt.Errorf("buffer %q: want %q or %q", w.Buffer, Ring, Perf)
}

// chooseHook removes the programs from spec that this kernel cannot run or that are not needed. It
// returns the name of the program to tail call, if any.
func (w *Watcher) chooseHook(spec *ebpf.CollectionSpec) (stage string, err error) {
	if w.Hook == "" {
		w.Hook = Kprobe
		if HaveFentry() == nil {
			w.Hook = Fentry
		}
	}
	switch w.Hook {
	case Fentry:
		delete(spec.Programs, probeProgOpenKprobe)
		delete(spec.Programs, probeProgPathLoop)
		delete(spec.Programs, probeProgPathBounded)
		return "", nil
	case Kprobe:
		ok, err := haveLoop()
		if err != nil {
			return "", fmt.Errorf("look for bpf_loop: %w", err)
		}
		stage, other := probeProgPathBounded, probeProgPathLoop
		if ok {
			stage, other = other, stage
		}
		delete(spec.Programs, probeProgOpenFentry)
		delete(spec.Programs, other)
		return stage, nil
	}
	return "", fmt.Errorf("hook %q: want %q or %q", w.Hook, Fentry, Kprobe)
}

func (w *Watcher) attach() error {
	attach := func(what string, l link.Link, err error) error {
		if err != nil {
			return fmt.Errorf("attach %s: %w", what, err)
		}
		w.links = append(w.links, l)
		return nil
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: w.coll.Programs[probeProgExecTp]})
	if err := attach(probeProgExecTp, l, err); err != nil {
		return err
	}
	if w.Hook == Fentry {
		l, err = link.AttachTracing(link.TracingOptions{Program: w.coll.Programs[probeProgOpenFentry]})
		return attach(probeProgOpenFentry, l, err)
	}
	l, err = attachKprobe(openHook, w.coll.Programs[probeProgOpenKprobe])
	return attach(probeProgOpenKprobe, l, err)
}

// attachKprobe attaches prog to the start of a function. Linux 6.12 for riscv64 refuses the instructions there, which
// belong to ftrace, with EINVAL (no KPROBES_ON_FTRACE; 7.2 does not mind): there the probe stands behind these 8 bytes,
// where the arguments are still in their registers.
func attachKprobe(symbol string, prog *ebpf.Program) (link.Link, error) {
	l, err := link.Kprobe(symbol, prog, nil)
	if err == nil || runtime.GOARCH != "riscv64" {
		return l, err
	}
	behind, err2 := link.Kprobe(symbol, prog, &link.KprobeOptions{Offset: 8})
	if err2 != nil {
		return nil, err // the first failure tells more
	}
	return behind, nil
}

// SetFilter replaces the filter. Events that are already buffered stay.
func (w *Watcher) SetFilter(f Filter) error {
	p, err := f.encode()
	if err != nil {
		return err
	}
	return w.setFilter(p)
}

func (w *Watcher) setFilter(p *probeFilter) error {
	if err := w.coll.Maps[probeMapFilters].Put(uint32(0), p); err != nil {
		return fmt.Errorf("set filter: %w", err)
	}
	return nil
}

// SetDeadline makes [Watcher.Next] fail with [os.ErrDeadlineExceeded] after t. The zero time means
// to wait for ever.
func (w *Watcher) SetDeadline(t time.Time) { w.reader.SetDeadline(t) }

// ErrInterrupted is what [Watcher.Next] returns after [Watcher.Interrupt].
var ErrInterrupted = errors.New("interrupted")

// Interrupt makes [Watcher.Next] return the events that are buffered and then [ErrInterrupted], also
// when it is waiting. It may be called from another goroutine.
func (w *Watcher) Interrupt() error { return w.reader.Flush() }

// Next waits for the next event. It is for one goroutine at a time.
func (w *Watcher) Next() (Event, error) {
	for {
		raw, lost, err := w.reader.read()
		if errors.Is(err, ringbuf.ErrFlushed) || errors.Is(err, perf.ErrFlushed) {
			return Event{}, ErrInterrupted
		}
		if err != nil {
			return Event{}, err
		}
		w.lost += lost
		if lost == 0 {
			return decodeEvent(raw)
		}
	}
}

// Lost are numbers of events that were wanted and did not arrive.
type Lost struct {
	Full      uint64 // no room in the buffer
	Preempted uint64 // overwritten before they were sent
	NoStage   uint64 // a tail call had no target
}

// Lost sums the lost events of all CPUs. Not while another goroutine is in [Watcher.Next].
func (w *Watcher) Lost() (Lost, error) {
	var sums [3]uint64
	for reason := range sums {
		var perCPU []uint64
		if err := w.coll.Maps[probeMapLost].Lookup(uint32(reason), &perCPU); err != nil {
			return Lost{}, fmt.Errorf("read lost events: %w", err)
		}
		for _, n := range perCPU {
			sums[reason] += n
		}
	}
	// The kernel tells the BPF program that a perf buffer is full as well as the reader: count once.
	return Lost{Full: max(sums[0], w.lost), Preempted: sums[1], NoStage: sums[2]}, nil
}

// Close detaches and unloads the programs.
func (w *Watcher) Close() error {
	var errs []error
	for _, l := range w.links {
		errs = append(errs, l.Close())
	}
	w.links = nil
	if w.reader != nil {
		errs = append(errs, w.reader.Close())
	}
	if w.coll != nil {
		w.coll.Close()
	}
	return errors.Join(errs...)
}

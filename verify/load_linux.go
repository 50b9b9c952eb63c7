package verify

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// DefaultLogSize is how much of a log a result keeps, in bytes.
const DefaultLogSize = 1 << 20

// Options say how to load. The zero value is valid.
type Options struct {
	// LogSize bounds the log of a failed load in its result, in bytes; 0 means [DefaultLogSize], a negative number no log.
	LogSize int
}

// Loader loads programs into the running kernel. It keeps the kernel's types, which take long to read; use one for many objects.
type Loader struct {
	o     Options
	cache *btf.Cache
}

// NewLoader prepares for loading: it lifts the limit of locked memory, against which BPF counted before Linux 5.11.
func NewLoader(o Options) (*Loader, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("%w; loading programs needs root", err)
	}
	if o.LogSize == 0 {
		o.LogSize = DefaultLogSize
	}
	return &Loader{o: o, cache: btf.NewCache()}, nil
}

// RunningKernel describes the kernel that a Loader loads into.
func RunningKernel() (Kernel, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Kernel{}, fmt.Errorf("uname: %w", err)
	}
	k := Kernel{Release: unix.ByteSliceToString(u.Release[:]), Arch: runtime.GOARCH}
	_, err := os.Stat("/sys/kernel/btf/vmlinux")
	k.BTF = err == nil
	return k, nil
}

// Load loads one program of o alone and unloads it.
func (l *Loader) Load(o *Object, program string) (r Result) {
	r = Result{File: o.File, Program: program}
	orig := o.spec.Programs[program]
	if orig == nil {
		return r.harness(fmt.Sprintf("no program %q in the object", program))
	}
	defer func() {
		if p := recover(); p != nil { // the library is not ours, and the object is anybody's
			r = r.harness(fmt.Sprintf("loading it panicked: %v", p))
		}
	}()
	spec, changed := o.single(program)
	p := spec.Programs[program]
	r.Section = p.SectionName
	r.Size = int(p.Instructions.Size() / 8)
	r.ProgType, r.AttachType = ProgTypeName(p.Type), AttachTypeName(p.Type, p.AttachType)
	var skip string
	if r.Guess, skip = guessType(p); skip != "" {
		r.Verdict, r.Reason = Skipped, skip
		return r
	}
	if r.Guess != "" {
		changed = append([]string{r.Guess}, changed...)
	}
	r.Guess = strings.Join(changed, "; ")
	r.ProgType, r.AttachType = ProgTypeName(p.Type), AttachTypeName(p.Type, p.AttachType)

	maps, err := l.makeMaps(spec)
	if err != nil {
		return l.mapFailed(r, spec, err)
	}
	defer maps.Close()
	for name, m := range spec.Maps {
		if m.Type != ebpf.Arena {
			continue
		}
		// A program needs the arena's address in user space, which its loader gives it by mapping it.
		b, err := unix.Mmap(maps.Maps[name].FD(), 0, int(min(m.MaxEntries, 1<<16))*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return r.harness(fmt.Sprintf("map %s: mmap: %v", name, err))
		}
		defer unix.Munmap(b)
	}
	return l.loadWith(r, spec, program, maps)
}

func (r Result) harness(reason string) Result {
	r.Verdict, r.Class, r.Reason = Failed, ClassHarness, clean(reason)
	return r
}

// makeMaps makes the maps of a collection.
func (l *Loader) makeMaps(spec *ebpf.CollectionSpec) (*ebpf.Collection, error) {
	only := *spec
	only.Programs = nil
	return ebpf.NewCollectionWithOptions(&only, ebpf.CollectionOptions{Cache: l.cache})
}

func (l *Loader) loadWith(r Result, spec *ebpf.CollectionSpec, program string, maps *ebpf.Collection) Result {
	try := func(level ebpf.LogLevel, size uint32) (*ebpf.Collection, error) {
		o := ebpf.CollectionOptions{Cache: l.cache, MapReplacements: maps.Maps}
		o.Programs = ebpf.ProgramOptions{LogLevel: level, LogSizeStart: size}
		c, err := ebpf.NewCollectionWithOptions(spec, o)
		if errors.Is(err, ebpf.ErrMapIncompatible) { // the library and the kernel do not agree about its own map
			o.MapReplacements = nil
			c, err = ebpf.NewCollectionWithOptions(spec, o)
		}
		return c, err
	}
	const statsLog, firstLog = 64 << 10, 1 << 20
	c, err := try(ebpf.LogLevelStats, statsLog)
	if err == nil {
		defer c.Close()
		r.Verdict = OK
		p := c.Programs[program]
		parseStats(p.VerifierLog, &r.Stats)
		if info, err := p.Info(); err == nil {
			if n, ok := info.VerifiedInstructions(); ok && r.Insns == 0 {
				r.Insns = int(n)
			}
			if n, err := info.JitedSize(); err == nil {
				r.JitedSize = int(n)
			}
			if n, err := info.TranslatedSize(); err == nil {
				r.Xlated = n
			}
		}
		return r
	}
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) {
		parseStats(strings.Join(ve.Log, "\n"), &r.Stats)
	}
	// Once more for the reason. A program beyond the limit would leave a log of hundreds of megabytes, and its reason is known.
	if r.Insns <= insnLimit {
		c, again := try(ebpf.LogLevelBranch|ebpf.LogLevelStats, firstLog)
		if again == nil {
			c.Close()
			return r.harness("refused once and accepted the second time: " + err.Error())
		}
		err = again
	}
	return l.progFailed(r, spec.Programs[program], err)
}

// insnLimit is BPF_COMPLEXITY_LIMIT_INSNS of include/linux/bpf.h, since Linux 5.2.
const insnLimit = 1000000

// mapFailed classifies a map that could not be made.
func (l *Loader) mapFailed(r Result, spec *ebpf.CollectionSpec, err error) Result {
	r.Verdict, r.Reason, r.Errno = Failed, clean(err.Error()), errnoName(err)
	r.Class = ClassMapType
	switch {
	case noKernelBTF(err), strings.Contains(r.Reason, "load BTF"):
		r.Class = ClassBTF
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		r.Class = ClassPermission
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.E2BIG):
		r.Class = ClassLimits
	case r.Errno == "" && !errors.Is(err, ebpf.ErrNotSupported):
		r.Class = ClassHarness
	}
	for name, m := range spec.Maps { // say which type it was
		if errors.Is(features.HaveMapType(m.Type), ebpf.ErrNotSupported) {
			r.Class, r.Reason = ClassMapType, fmt.Sprintf("map %s: this kernel has no maps of type %s", name, m.Type)
		}
	}
	return r
}

// progFailed classifies a program that could not be loaded.
func (l *Loader) progFailed(r Result, p *ebpf.ProgramSpec, err error) Result {
	r.Verdict, r.Errno = Failed, errnoName(err)
	var ve *ebpf.VerifierError
	log := ""
	if errors.As(err, &ve) {
		log = strings.Join(ve.Log, "\n")
	}
	parseStats(log, &r.Stats)
	f := failure{err: err, errno: r.Errno, log: log, insns: r.Insns}
	f.noType = func() bool { return errors.Is(features.HaveProgramType(p.Type), ebpf.ErrNotSupported) }
	r.Class, r.Reason, r.Lines = f.classify()
	if l.o.LogSize > 0 {
		r.Log = tail(log, l.o.LogSize)
	}
	return r
}

// errnoName is the symbolic name of the errno in err, "" without one.
func errnoName(err error) string {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return ""
	}
	if errno == 524 { // the kernel's own, which user space never names
		return "ENOTSUPP"
	}
	if n := unix.ErrnoName(errno); n != "" {
		return n
	}
	return fmt.Sprint(int(errno))
}

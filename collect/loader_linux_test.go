//go:build amd64 || arm64 || ppc64le || riscv64 || s390x

package collect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/collect/internal/bpfsys"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// loaderEnv makes the test binary a loader of BPF programs: the command of the tests of Watch.
const loaderEnv = "COLLECT_TEST_LOADER"

func TestMain(m *testing.M) {
	MaybeShim()
	if what := os.Getenv(loaderEnv); what != "" {
		if err := loader(what); err != nil {
			fmt.Fprintf(os.Stderr, "loader %s: %v\n", what, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The counters of the test object, see newObject.
const (
	cEntry  = iota // program "main", always
	cDead          // program "main", if a read-only variable is not 0
	cElse          // program "main", if it is 0
	cLoop          // program "main", 5 times a run
	cOther         // program "other"
	cReject        // program "reject", which the kernel refuses
	cNever         // in no program that is loaded
	numCounters
)

var objectA = meta.ObjectID{0xaa, 1, 2, 3}

// object is a loaded test object.
type object struct {
	counters, rodata *ebpf.Map
}

func newObject(sw uint32) (*object, error) { return newObjectOf(objectA, sw) }

func newObjectOf(id meta.ObjectID, sw uint32) (*object, error) {
	value := counterValue(bpfsys.NativeOrder(), 8, numCounters, id)
	var o object
	var err error
	if o.counters, err = ebpf.NewMap(&ebpf.MapSpec{Name: ".data.bpfcov", Type: ebpf.Array, KeySize: 4,
		ValueSize: uint32(len(value)), MaxEntries: 1, Contents: []ebpf.MapKV{{Key: uint32(0), Value: value}}}); err != nil {
		return nil, err
	}
	if o.rodata, err = ebpf.NewMap(&ebpf.MapSpec{Name: ".rodata", Type: ebpf.Array, KeySize: 4, ValueSize: 4,
		MaxEntries: 1, Flags: unix.BPF_F_RDONLY_PROG, Contents: []ebpf.MapKV{{Key: uint32(0), Value: sw}}}); err != nil {
		return nil, err
	}
	return &o, nil // NewMap has frozen it, for its name
}

// count is what the pass emits for one counter: the address, and an atomic addition.
func (o *object) count(i int) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapValue(asm.R1, o.counters.FD(), uint32(blockHeader+8*i)),
		asm.Mov.Imm(asm.R2, 1),
		asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, 0),
	}
}

func (o *object) program(name string) asm.Instructions {
	var p asm.Instructions
	switch name {
	case "main":
		p = append(p, o.count(cEntry)...)
		p = append(p, asm.LoadMapValue(asm.R3, o.rodata.FD(), 0), asm.LoadMem(asm.R3, asm.R3, 0, asm.Word),
			asm.JEq.Imm(asm.R3, 0, "else"))
		p = append(p, o.count(cDead)...)
		p = append(p, asm.Ja.Label("loop"), asm.LoadMapValue(asm.R1, o.counters.FD(), uint32(blockHeader+8*cElse)).WithSymbol("else"))
		p = append(p, o.count(cElse)[1:]...)
		p = append(p, asm.Mov.Imm(asm.R6, 0).WithSymbol("loop"))
		again := o.count(cLoop)
		again[0] = again[0].WithSymbol("again")
		p = append(p, again...)
		p = append(p, asm.Add.Imm(asm.R6, 1), asm.JLT.Imm(asm.R6, 5, "again"))
	case "other":
		p = append(p, o.count(cOther)...)
	case "reject":
		p = append(p, o.count(cReject)...)
		p = append(p, asm.LoadMem(asm.R0, asm.R9, 0, asm.DWord)) // r9 was never written
	}
	return append(p, asm.Mov.Imm(asm.R0, 0), asm.Return())
}

func (o *object) load(name string) (*ebpf.Program, error) {
	return ebpf.NewProgramWithOptions(&ebpf.ProgramSpec{Name: name, Type: ebpf.SocketFilter, License: "GPL",
		Instructions: o.program(name)}, ebpf.ProgramOptions{LogDisabled: true})
}

func (o *object) run(name string, times int) error {
	p, err := o.load(name)
	if err != nil {
		return err
	}
	return run(p, times)
}

func run(p *ebpf.Program, times int) error {
	_, err := p.Run(&ebpf.RunOptions{Data: make([]byte, 64), Repeat: uint32(times)})
	return err
}

// loader is the command: words separated by blanks, done in order.
func loader(script string) error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return err
	}
	o, err := newObject(0)
	if err != nil {
		return err
	}
	for _, word := range strings.Fields(script) {
		what, arg, _ := strings.Cut(word, "=")
		n, _ := strconv.Atoi(arg)
		switch what {
		case "main", "other": // load, run n times
			err = o.run(what, n)
		case "load": // load only, and forget
			_, err = o.load(arg)
		case "switch": // another object, with the read-only variable set
			o, err = newObject(uint32(n))
		case "reject":
			if _, e := o.load("reject"); !errors.Is(e, unix.EACCES) && !errors.Is(e, unix.EINVAL) {
				err = fmt.Errorf("program reject: got %v, want it refused", e)
			}
		case "plain": // a program without counters
			_, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SocketFilter, License: "GPL",
				Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
		case "badplain": // the same, and r9 was never written
			if _, e := ebpf.NewProgramWithOptions(&ebpf.ProgramSpec{Name: "badplain", Type: ebpf.SocketFilter, License: "GPL",
				Instructions: asm.Instructions{asm.Mov.Reg(asm.R0, asm.R9), asm.Return()}}, ebpf.ProgramOptions{LogDisabled: true}); e == nil {
				err = errors.New("program badplain: want it refused")
			}
		case "watch": // another loader, as a watcher that is watched itself
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), loaderEnv+"=main=2")
			cmd.Stderr = os.Stderr
			var res *Result
			if res, err = Watch(context.Background(), cmd, WatchOptions{Watcher: Watcher(arg)}); err == nil {
				fmt.Println(res.Watcher, res.Objects[0].Counts)
			}
		case "kill":
			err = unix.Kill(os.Getpid(), unix.SIGKILL)
		case "exit":
			os.Exit(n)
		case "hang":
			time.Sleep(time.Hour)
		case "say":
			fmt.Println(arg)
		case "read": // wait for a byte on stdin, or its end
			os.Stdin.Read(make([]byte, 1))
		case "many": // n new objects, each loaded and run once
			for range n {
				if o, err = newObject(0); err == nil {
					err = o.run("main", 1)
				}
				if err != nil {
					return err
				}
				o.counters.Close()
				o.rodata.Close()
				runtime.GC() // closes the program
			}
		case "threads": // n threads load and run at once
			err = inThreads(n, func() error { return o.run("main", 1) })
		case "pin":
			err = o.counters.Pin(arg)
		case "pinned": // use a pinned map
			o.counters, err = ebpf.LoadPinnedMap(arg, nil)
		case "pinprog":
			var p *ebpf.Program
			if p, err = o.load("other"); err == nil {
				err = p.Pin(arg)
			}
		case "attach": // count every system call of the machine, until the link's pin is removed
			var p *ebpf.Program
			var l link.Link
			if p, err = ebpf.NewProgram(&ebpf.ProgramSpec{Name: "other", Type: ebpf.RawTracepoint, License: "GPL",
				Instructions: o.program("other")}); err != nil {
				break
			}
			if l, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: p}); err == nil {
				err = l.Pin(arg)
			}
		case "runprog":
			var p *ebpf.Program
			if p, err = ebpf.LoadPinnedProgram(arg, nil); err == nil {
				err = run(p, 7)
			}
		default:
			err = errors.New("unknown word " + word)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func inThreads(n int, f func() error) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			runtime.LockOSThread() // and end with the thread
			errs[i] = f()
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// awaitFile waits for another process to make a file.
func awaitFile(path string, timeout time.Duration) error {
	for deadline := time.Now().Add(timeout); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no %s after %v", filepath.Base(path), timeout)
		}
	}
}

// deadline is how long a test may wait for something that should come soon.
func deadline(t *testing.T) time.Duration {
	if d, ok := t.Deadline(); ok {
		return time.Until(d) / 2
	}
	return time.Minute
}

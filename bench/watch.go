package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/collect"
)

// watchEnv makes this program the loader that is watched.
const watchEnv = "BPFCOV_BENCH_LOADER"

const (
	watchRounds  = 7
	watchUpdates = 100_000
	// watchLoads is how often the small and the large object are loaded, and realLoads the one of examples/filewatch, which
	// has several programs.
	watchLoads, realLoads = 1_000, 100

	// watchFloor is none of bpfcov's watchers, see runFloor.
	watchFloor collect.Watcher = "floor"
)

// took is what a loader says of its work, and what the watcher used meanwhile.
type took struct {
	Wall, CPU time.Duration
	watcher   time.Duration // processor time
}

// benchWatch runs loaders with and without each watcher, in turns.
func benchWatch(ctx context.Context, o options, args []string) error {
	flavs, err := flavours(ctx, o)
	if err != nil {
		return err
	}
	objects := map[string]string{}
	for _, source := range []string{"bench/bpf/small.bpf.c", "bench/bpf/large.bpf.c", "examples/filewatch/bpf/filewatch.bpf.c"} {
		name := strings.TrimSuffix(filepath.Base(source), ".bpf.c")
		if objects[name], err = flavs[1].compile(ctx, o, filepath.Join(o.root, source)); err != nil {
			return err
		}
	}
	n := o.n
	if n == 0 {
		n = watchRounds
	}
	kinds := []collect.Watcher{"", watchFloor, collect.WatcherNotify, collect.WatcherTrace}
	var t table
	t.row("loader", "watcher", "wall min", "median", "ratio of minima", "of medians", "CPU min, loader", "ratio", "with watcher", "ratio")
	for _, c := range []struct {
		arg, name, what string
		loads           int
	}{
		{"updates", fmt.Sprintf("%d map updates", watchUpdates), "updates", 0},
		{"small", fmt.Sprintf("small object %d times", watchLoads), "loads " + objects["small"], watchLoads},
		{"filewatch", fmt.Sprintf("filewatch's object %d times", realLoads), "loads " + objects["filewatch"], realLoads},
		{"large", fmt.Sprintf("large object %d times", watchLoads), "loads " + objects["large"], watchLoads},
	} {
		if len(args) > 0 && !slices.Contains(args, c.arg) {
			continue
		}
		wall, cpu, both := make([][]time.Duration, len(kinds)), make([][]time.Duration, len(kinds)), make([][]time.Duration, len(kinds))
		rounds := n
		if c.arg == "updates" {
			rounds = 3 * n // a tenth of a second each, and a few percent to tell
		}
		for round := range rounds {
			progress("%s: round %d of %d", c.name, round+1, rounds)
			for i, kind := range kinds {
				one, err := watchOnce(ctx, kind, c.what, c.loads)
				if err != nil {
					return fmt.Errorf("%s, watcher %q: %w", c.name, kind, err)
				}
				wall[i], cpu[i], both[i] = append(wall[i], one.Wall), append(cpu[i], one.CPU), append(both[i], one.CPU+one.watcher)
			}
		}
		against := func(of func([]time.Duration) time.Duration, all [][]time.Duration, i int) string {
			if i == 0 {
				return ""
			}
			return ratio(float64(of(all[i])), float64(of(all[0])))
		}
		for i, kind := range kinds {
			t.row(c.name, cmp.Or(string(kind), "none"), ms(lowest(wall[i])), ms(median(wall[i])), against(lowest, wall, i), against(median, wall, i),
				ms(lowest(cpu[i])), against(lowest, cpu, i), ms(lowest(both[i])), against(lowest, both, i))
		}
	}
	t.left = 2
	return t.write(os.Stdout, fmt.Sprintf("Loaders under a watcher (n=%d, interleaved)", n))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

// watchOnce runs one loader.
func watchOnce(ctx context.Context, kind collect.Watcher, what string, loads int) (took, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", watchEnv, loads, what))
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	runtime.GC()
	before := cpuTime(unix.RUSAGE_SELF)
	var err error
	switch kind {
	case "":
		err = cmd.Run()
	case watchFloor:
		err = runFloor(ctx, cmd)
	default:
		var res *collect.Result
		if res, err = collect.Watch(ctx, cmd, collect.WatchOptions{Watcher: kind}); err == nil {
			err = res.Err
		}
		if err == nil && loads > 0 && (len(res.Objects) != 1 || res.Objects[0].Maps < loads) {
			err = fmt.Errorf("the watcher saw %d objects, want one of at least %d maps", len(res.Objects), loads)
		}
	}
	if err != nil {
		return took{}, fmt.Errorf("%w %s", err, stderr.Bytes())
	}
	var one took
	if err := json.Unmarshal(out.Bytes(), &one); err != nil {
		return took{}, err
	}
	one.watcher = cpuTime(unix.RUSAGE_SELF) - before
	return one, nil
}

func cpuTime(who int) time.Duration {
	var r unix.Rusage
	if unix.Getrusage(who, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// watchLoader is the loader: a number and what to do, "updates" or "loads OBJECT". It prints what its work took, without its start.
func watchLoader(what string) error {
	if err := allowBPF(); err != nil {
		return err
	}
	number, what, _ := strings.Cut(what, " ")
	work := updates
	if object, ok := strings.CutPrefix(what, "loads "); ok {
		n, err := strconv.Atoi(number)
		if err != nil {
			return err
		}
		spec, err := loadable(object)
		if err != nil {
			return err
		}
		work = func() error { return loads(spec, n) }
	}
	start, cpu := time.Now(), cpuTime(unix.RUSAGE_SELF)
	if err := work(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(took{Wall: time.Since(start), CPU: cpuTime(unix.RUSAGE_SELF) - cpu})
}

// loadable returns an object without the programs that the running kernel refuses, such as those for fentry where there is no
// ftrace.
func loadable(object string) (*ebpf.CollectionSpec, error) {
	spec, err := ebpf.LoadCollectionSpec(object)
	if err != nil {
		return nil, err
	}
	for name := range spec.Programs {
		alone := spec.Copy()
		for other := range spec.Programs {
			if other != name {
				delete(alone.Programs, other)
			}
		}
		coll, err := ebpf.NewCollection(alone)
		if err != nil {
			delete(spec.Programs, name)
			continue
		}
		coll.Close()
	}
	if len(spec.Programs) == 0 {
		return nil, fmt.Errorf("%s: the running kernel refuses all of its programs", object)
	}
	return spec, nil
}

// updates sets one element of a hash map again and again, with nothing around the system call.
func updates() error {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 16})
	if err != nil {
		return err
	}
	defer m.Close()
	var key uint32
	var value uint64
	attr := struct {
		fd, _      uint32
		key, value uint64
		flags      uint64
	}{fd: uint32(m.FD()), key: uint64(uintptr(unsafe.Pointer(&key))), value: uint64(uintptr(unsafe.Pointer(&value)))}
	for range watchUpdates {
		const mapUpdateElem = 2
		if _, _, errno := unix.Syscall(unix.SYS_BPF, mapUpdateElem, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)); errno != 0 {
			return errno
		}
		value++
	}
	runtime.KeepAlive(&key)
	return nil
}

func loads(spec *ebpf.CollectionSpec, n int) error {
	for range n {
		coll, err := ebpf.NewCollection(spec)
		if err != nil {
			return err
		}
		coll.Close()
	}
	return nil
}

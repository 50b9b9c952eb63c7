package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"

	"github.com/bpfcov/bpfcov/instrument"
)

// A flavour is one way to compile a program.
type flavour struct {
	name string
	cc   string   // the compiler
	args []string // on top of those of all flavours
	// rewrite is a command that loads the plain object in its own way and pins the program: OBJECT PROGRAM PIN.
	rewrite string
}

// flavours are plain and the instrumented ones.
func flavours(ctx context.Context, o options) ([]flavour, error) {
	clang, err := instrument.FindClang(ctx)
	if err != nil {
		return nil, err
	}
	wrapper := filepath.Join(o.root, "bin", "bpfcov-clang")
	if _, err := os.Stat(wrapper); err != nil {
		return nil, fmt.Errorf("%w; run make", err)
	}
	return []flavour{
		{name: "plain", cc: clang.Path},
		{name: "atomic", cc: wrapper},
		{name: "flag", cc: wrapper, args: []string{"-mllvm", "-bpfcov-counter=flag"}},
	}, nil
}

// compile makes an object of a BPF source. The options are those of bpf2go, for the host.
func (f flavour) compile(ctx context.Context, o options, source string) (object string, err error) {
	object = filepath.Join(o.work, strings.TrimSuffix(filepath.Base(source), ".bpf.c")+"."+f.name+".o")
	target, ok := map[string]string{"amd64": "x86", "arm64": "arm64", "riscv64": "riscv", "s390x": "s390"}[runtime.GOARCH]
	if !ok {
		return "", fmt.Errorf("no __TARGET_ARCH_… known for %s", runtime.GOARCH)
	}
	args := []string{"-O2", "-g", "-target", "bpf", "-mcpu=v3", "-D__TARGET_ARCH_" + target}
	if dirs, err := filepath.Glob("/usr/include/*-linux-gnu"); err == nil { // <asm/types.h> of Debian
		for _, d := range dirs {
			args = append(args, "-idirafter", d)
		}
	}
	args = append(append(args, f.args...), "-c", source, "-o", object)
	cmd := exec.CommandContext(ctx, f.cc, args...)
	cmd.Env = append(os.Environ(), "BPFCOV_META_DIR="+o.work, "BPFCOV_CACHE="+filepath.Join(o.work, "cache"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", f.name, source, err, out)
	}
	return object, nil
}

// programs reads an object and names its programs, sorted.
func programs(object string) (*ebpf.CollectionSpec, []string, error) {
	spec, err := ebpf.LoadCollectionSpec(object)
	if err != nil {
		return nil, nil, err
	}
	return spec, slices.Sorted(maps.Keys(spec.Programs)), nil
}

// A loaded program and all that it needs.
type loaded struct {
	prog *ebpf.Program
	coll *ebpf.Collection
}

func (l *loaded) Close() {
	if l.coll == nil {
		l.prog.Close()
		return
	}
	l.coll.Close()
}

// load loads one program of an object and the maps that it refers to, so that what another program's
// verdict is does not matter.
func load(spec *ebpf.CollectionSpec, name string) (*loaded, error) {
	one := spec.Copy()
	p := one.Programs[name]
	if p == nil {
		return nil, fmt.Errorf("no program %q", name)
	}
	used := map[string]bool{}
	for _, ins := range p.Instructions {
		if ref := ins.Reference(); ref != "" && (ins.IsLoadFromMap() || ins.OpCode.Class() == asm.LdClass) {
			used[ref] = true
		}
	}
	maps.DeleteFunc(one.Programs, func(n string, _ *ebpf.ProgramSpec) bool { return n != name })
	maps.DeleteFunc(one.Maps, func(n string, _ *ebpf.MapSpec) bool { return !used[n] })
	for _, m := range one.Maps {
		m.Contents = slices.DeleteFunc(m.Contents, func(kv ebpf.MapKV) bool {
			_, isName := kv.Value.(string) // a program or map by name, of a tail call
			return isName
		})
	}
	coll, err := ebpf.NewCollection(one)
	if err != nil {
		return nil, err
	}
	return &loaded{prog: coll.Programs[name], coll: coll}, nil
}

// why is the last word on a program that does not load: the verifier's last line but one, or the error.
func why(err error) string {
	var v *ebpf.VerifierError
	if errors.As(err, &v) {
		for _, l := range slices.Backward(v.Log) {
			if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "processed ") {
				return l
			}
		}
	}
	return err.Error()
}

// allowBPF lifts the limit of locked memory, which maps count against before Linux 5.11.
func allowBPF() error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("%w; loading programs needs root", err)
	}
	return nil
}

// Package modeltest makes covdata for tests of reports: objects that clang really compiled, with
// counters, states and verdicts made up for a small matrix of kernels.
package modeltest

import (
	"bytes"
	"debug/elf"
	"embed"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

//go:embed testdata/probe.bpf.c testdata/helper.h
var sources embed.FS

// LLVM is the major version that fixtures are compiled with, so that goldens do not depend on the
// machine.
const LLVM = 19

// Object is one compiled object.
type Object struct {
	Path    string // of the ELF file
	Meta    *meta.Meta
	Mapping *covmap.Mapping
}

// Tool returns the path of an LLVM tool of version [LLVM], or skips the test.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(fmt.Sprintf("%s-%d", name, LLVM))
	if err != nil {
		t.Skipf("%s of LLVM %d is not installed: %v", name, LLVM, err)
	}
	return path
}

// Compile compiles testdata/probe.bpf.c for BPF with clang's own instrumentation. id becomes the first
// byte of the object id.
func Compile(t testing.TB, id byte, object string, args ...string) *Object {
	t.Helper()
	dir := t.TempDir()
	Sources(t, dir)
	return CompileFile(t, dir, "probe.bpf.c", id, object, args...)
}

// CompileEndian is [Compile] for bpfel or bpfeb.
func CompileEndian(t testing.TB, big bool) *Object {
	t.Helper()
	target := "bpfel"
	if big {
		target = "bpfeb"
	}
	return Compile(t, 0xc3, "probe_"+target+".o", "-target", target)
}

// Sources writes the sources of [Compile] to a folder.
func Sources(t testing.TB, dir string) {
	t.Helper()
	for _, name := range []string{"probe.bpf.c", "helper.h"} {
		text, err := sources.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		WriteFile(t, dir, name, string(text))
	}
}

// WriteFile writes one source file below dir.
func WriteFile(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// CompileFile compiles a source file of dir.
func CompileFile(t testing.TB, dir, source string, id byte, object string, args ...string) *Object {
	t.Helper()
	clang := Tool(t, "clang")
	o := &Object{Path: filepath.Join(dir, object)}
	args = append([]string{"-target", "bpf", "-O2", "-g", "-Wno-everything", "-fprofile-instr-generate", "-fcoverage-mapping",
		"-fcoverage-compilation-dir=.", "-c", source, "-o", object}, args...)
	cmd := exec.Command(clang, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	f, err := elf.Open(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := &meta.Meta{ObjectID: meta.ObjectID{id}, LLVM: LLVM, BigEndian: f.ByteOrder == binary.BigEndian, Source: source, Object: object, CounterWidth: 8,
		Covmap: joined(t, f, "__llvm_covmap"), Covfun: joined(t, f, "__llvm_covfun"), Names: joined(t, f, "__llvm_prf_names")}
	o.Mapping, err = covmap.DecodeSections(m.Covmap, m.Covfun, m.Names, f.ByteOrder)
	if err != nil {
		t.Fatal(err)
	}
	for _, fn := range o.Mapping.Functions {
		if fn.Dummy() {
			continue
		}
		m.Functions = append(m.Functions, meta.Func{NameHash: fn.NameHash, Hash: fn.Hash,
			First: uint32(m.NumCounters), Count: uint32(fn.NumCounters)})
		m.NumCounters += fn.NumCounters
		if strings.HasPrefix(fn.Name, "handle_") {
			m.Programs = append(m.Programs, meta.Program{Name: fn.Name, Section: "test/" + fn.Name})
		}
	}
	m.Emitted = slices.Repeat([]bool{true}, m.NumCounters)
	o.Meta = m
	return o
}

// joined is the content of all sections of a name, each padded to 8 as llvm-cov does.
func joined(t testing.TB, f *elf.File, name string) []byte {
	t.Helper()
	var b []byte
	for _, s := range f.Sections {
		if s.Name != name {
			continue
		}
		d, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		if name != "__llvm_prf_names" {
			b = append(b, make([]byte, -len(b)&7)...)
		}
		b = append(b, d...)
	}
	return b
}

// Function returns where a function's counters are, by C name.
func (o *Object) Function(t testing.TB, name string) *meta.Func {
	t.Helper()
	for _, fn := range o.Mapping.Functions {
		if fn.Name != name && !strings.HasSuffix(fn.Name, ":"+name) {
			continue
		}
		for i := range o.Meta.Functions {
			if o.Meta.Functions[i].NameHash == fn.NameHash {
				return &o.Meta.Functions[i]
			}
		}
	}
	t.Fatalf("no counters of function %s", name)
	return nil
}

// Counters returns the object's counters with those of the named functions set and every state live.
func (o *Object) Counters(t testing.TB, values map[string][]uint64) collect.ObjectCounters {
	t.Helper()
	c := collect.ObjectCounters{ObjectID: o.Meta.ObjectID, Width: 8, Maps: 1, Counts: make([]uint64, o.Meta.NumCounters),
		States: slices.Repeat([]collect.CounterState{collect.StateLive}, o.Meta.NumCounters)}
	for name, vs := range values {
		f := o.Function(t, name)
		if len(vs) != int(f.Count) {
			t.Fatalf("function %s: got %d values, want %d", name, len(vs), f.Count)
		}
		copy(c.Counts[f.First:], vs)
	}
	return c
}

// Set gives counters of a function a state and makes them 0: those listed, or all of them.
func (o *Object) Set(t testing.TB, c *collect.ObjectCounters, s collect.CounterState, name string, ids ...int) {
	t.Helper()
	f := o.Function(t, name)
	if len(ids) == 0 {
		for i := range int(f.Count) {
			ids = append(ids, i)
		}
	}
	for _, i := range ids {
		c.Counts[int(f.First)+i], c.States[int(f.First)+i] = 0, s
	}
}

// ExportLcov is what llvm-cov says of the object with these counters.
func (o *Object) ExportLcov(t testing.TB, c collect.ObjectCounters) []byte {
	t.Helper()
	profdata, cov := Tool(t, "llvm-profdata"), Tool(t, "llvm-cov")
	var b bytes.Buffer
	for _, fn := range o.Mapping.Functions {
		if fn.Dummy() {
			continue
		}
		f := o.Function(t, fn.Name)
		fmt.Fprintf(&b, "%s\n%d\n%d\n", fn.Name, fn.Hash, f.Count)
		for _, n := range c.Counts[f.First : f.First+f.Count] {
			fmt.Fprintln(&b, n)
		}
		fmt.Fprintln(&b)
	}
	text := filepath.Join(t.TempDir(), "profile.txt")
	if err := os.WriteFile(text, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(profdata, "merge", text, "-o", text+".prof").CombinedOutput(); err != nil {
		t.Fatalf("llvm-profdata: %v\n%s", err, out)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(cov, "export", "-format=lcov", "-instr-profile", text+".prof", o.Path)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("llvm-cov: %v\n%s", err, &stderr)
	}
	return out
}

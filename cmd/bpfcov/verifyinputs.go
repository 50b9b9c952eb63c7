package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/bpfcov/bpfcov/instrument"
	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/verify"
	"github.com/bpfcov/bpfcov/vm/matrix"
)

// verifyInputs gives the objects that the arguments stand for: for each architecture, and for each compiler if there are several. What has
// to be compiled or built is.
type verifyInputs struct {
	args         []string
	out          string // folder for what is compiled
	cflags       []string
	instrumented bool
	build        *config.Config // whose build command comes first; nil for none
}

// clangOf finds the clang of a major version; 0 is the one that `bpfcov cc` takes.
func clangOf(ctx context.Context, major int) (instrument.Clang, error) {
	if major == 0 {
		return instrument.FindClang(ctx)
	}
	if path := os.Getenv("BPFCOV_CLANG"); path != "" { // perhaps it is in no folder of PATH
		if c, err := instrument.ProbeClang(ctx, path); err == nil && c.Major == major {
			return c, nil
		}
	}
	path, err := exec.LookPath(fmt.Sprintf("clang-%d", major))
	if err != nil {
		return instrument.Clang{}, fmt.Errorf("--llvm %d: %w", major, err)
	}
	c, err := instrument.ProbeClang(ctx, path)
	if err == nil && c.Major != major {
		err = fmt.Errorf("--llvm %d: %s is clang %s", major, path, c.Version)
	}
	return c, err
}

// of finds, compiles and builds the objects for an architecture and a major version of clang, 0 if none was asked for.
func (v *verifyInputs) of(ctx context.Context, arch string, llvm int) ([]verify.Input, error) {
	out := filepath.Join(v.out, arch)
	if llvm != 0 {
		out += "-llvm" + strconv.Itoa(llvm)
	}
	replace := []string{"{arch}", arch}
	if llvm != 0 {
		replace = append(replace, "{llvm}", strconv.Itoa(llvm))
	}
	if v.build != nil {
		dir, err := v.runBuild(ctx, arch, llvm, filepath.Join(out, "build"))
		if err != nil {
			return nil, err
		}
		replace = append(replace, "{build}", dir)
	}
	var paths []string
	for _, a := range v.args {
		path := strings.NewReplacer(replace...).Replace(a)
		for what, flag := range map[string]string{"{llvm}": "--llvm", "{build}": "--build"} {
			if strings.Contains(path, what) {
				return nil, usagef("%s: %s needs %s", a, what, flag)
			}
		}
		list := []string{path}
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && strings.ContainsAny(path, "*?[") {
			if list, err = filepath.Glob(path); err != nil {
				return nil, usagef("%s: %w", a, err)
			}
			if len(list) == 0 {
				return nil, usagef("%s: nothing matches %s", a, path)
			}
		} else if err != nil {
			return nil, err
		}
		paths = append(paths, list...)
	}
	inputs := make([]verify.Input, 0, len(paths))
	count := map[string]int{}
	for _, path := range paths {
		name := filepath.Base(path)
		if n, ok := strings.CutSuffix(name, ".c"); ok {
			name = n + ".o"
		}
		inputs = append(inputs, verify.Input{Name: name, Path: path})
		count[name]++
	}
	for i := range inputs {
		in := &inputs[i]
		if count[in.Name] > 1 {
			in.Name = strings.ReplaceAll(filepath.ToSlash(filepath.Clean(in.Path)), "/", ":") // a slash separates file and program in filters
		}
		isSource := strings.HasSuffix(in.Path, ".c")
		if !isSource {
			if err := verify.Check(in.Path); err != nil {
				return nil, usagef("%w", err)
			}
		}
		var err error
		switch {
		case isSource:
			in.Path, err = v.compile(ctx, arch, llvm, in.Path, filepath.Join(out, strings.TrimSuffix(in.Name, ".c")))
		case v.build != nil: // the next build may write to the same place
			in.Path, err = copyObject(in.Path, filepath.Join(out, in.Name))
		}
		if err != nil {
			return nil, err
		}
	}
	return inputs, nil
}

// compile compiles one source as the documentation says.
func (v *verifyInputs) compile(ctx context.Context, arch string, llvm int, source, object string) (string, error) {
	clang, err := clangOf(ctx, llvm)
	if err != nil {
		return "", &exitError{exitEnvironment, err}
	}
	program := clang.Path
	if v.instrumented {
		if program, err = singleWordClang(); err != nil {
			return "", err
		}
	}
	target := "bpfel"
	if arch == "s390x" {
		target = "bpfeb"
	}
	args := append([]string{"-g", "-O2", "-target", target, "-mcpu=v3", "-D__TARGET_ARCH_" + matrix.TargetArch(arch)}, v.cflags...)
	if err := os.MkdirAll(filepath.Dir(object), 0o777); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, append(args, "-c", source, "-o", object)...)
	cmd.Env = append(os.Environ(), "BPFCOV_CLANG="+clang.Path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return "", usagef("%s: clang %s: %w\n%s%s", source, clang.Version, err, strings.TrimRight(stderr.String(), "\n"), asmHint(stderr.String()))
	}
	return object, nil
}

// asmHint says where the architecture's headers are when clang did not find one: distributions with several architectures keep them in
// folders of their own, where clang looks only when it compiles for one of these.
func asmHint(stderr string) string {
	if !strings.Contains(stderr, "'asm/types.h' file not found") {
		return ""
	}
	found, err := filepath.Glob("/usr/include/*-linux-gnu*/asm/types.h")
	if err != nil || len(found) == 0 {
		return "\nasm/types.h comes with the package linux-libc-dev"
	}
	return "\nadd --cflags -I" + strings.TrimSuffix(found[0], "/asm/types.h")
}

// runBuild runs the configuration's build command and returns the folder that it had for its files.
func (v *verifyInputs) runBuild(ctx context.Context, arch string, llvm int, out string) (string, error) {
	clang, err := clangOf(ctx, llvm)
	if err != nil {
		return "", &exitError{exitEnvironment, err}
	}
	r := &matrix.Runner{Config: v.build, Out: out, LLVM: clang.Major, Clang: clang.Path, Env: []string{"BPFCOV_CLANG=" + clang.Path}}
	if v.instrumented {
		if _, err := instrument.EnsurePlugin(ctx, clang); err != nil {
			return "", &exitError{exitEnvironment, err}
		}
		r.Strip = stripBeside(clang.Path)
		if r.Clang, err = singleWordClang(); err != nil {
			return "", err
		}
	}
	warn("building for %s with clang %s", arch, clang.Version)
	return r.Build(ctx, arch)
}

func copyObject(from, to string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return "", err
	}
	src, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(dst, src)
	return to, errors.Join(err, dst.Close())
}

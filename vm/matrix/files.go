package matrix

import (
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
)

// testSet is what the guests of one architecture get.
type testSet struct {
	tests []guest.Test
	files []initramfs.File
}

// buildSet makes the tests of one build.
func (r *Runner) buildSet(ctx context.Context, v variant) (testSet, error) {
	start := time.Now()
	if err := r.build(ctx, v); err != nil {
		return testSet{}, err
	}
	if r.Config.Build != "" {
		with := ""
		if r.LLVM > 0 {
			with = fmt.Sprintf(" with clang %d", r.LLVM)
		}
		r.progress("built the tests for %s%s in %.1f s", v.arch, with, time.Since(start).Seconds())
	}
	files, err := r.guestFiles(v)
	if err != nil {
		return testSet{}, err
	}
	set := testSet{files: files}
	for _, t := range r.Config.Tests {
		gt, more, err := r.guestTest(t, v, files)
		if err != nil {
			return testSet{}, &TestError{t.Name, v.arch, err}
		}
		set.tests = append(set.tests, gt)
		set.files = append(set.files, more...)
	}
	for _, f := range files {
		// What a script starts is not named anywhere: every program takes its libraries along.
		if more, err := r.closure(f.Source, f.Path); err == nil && f.Mode&0o111 != 0 {
			set.files = append(set.files, more...)
		}
	}
	set.files = dedupe(set.files)
	return set, nil
}

// testTimeout is how long a test may take on a machine with nothing else to do.
func testTimeout(t *config.Test) time.Duration {
	return cmp.Or(time.Duration(t.Timeout), 60*time.Second)
}

// programArch is the GOARCH that an ELF program is for, "" for what is none, such as a script.
func programArch(file string) string {
	f, err := elf.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	return kernels.ArchOfMachine(f.Machine)
}

// guestTest says how the guest runs t, and what its program needs beyond files.
func (r *Runner) guestTest(t config.Test, v variant, files []initramfs.File) (guest.Test, []initramfs.File, error) {
	gt := guest.Test{Name: t.Name, Command: slices.Clone(t.Command), Dir: guestDir, Timeout: testTimeout(&t),
		Watcher: collect.Watcher(cmp.Or(t.Watcher, r.Config.Watcher)), Artefacts: t.Artefacts}
	for _, k := range slices.Sorted(maps.Keys(t.Env)) {
		gt.Env = append(gt.Env, k+"="+t.Env[k])
	}
	program := t.Command[0]
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		want := filepath.Join(v.guest, program)
		source := filepath.Join(r.Config.Dir, program)
		if i := slices.IndexFunc(files, func(f initramfs.File) bool { return f.Path == want }); i >= 0 {
			source = files[i].Source
		} else if _, err := os.Stat(source); err != nil || !filepath.IsLocal(program) {
			return gt, nil, fmt.Errorf("%s is neither in the build folder ($BPFCOV_BUILD_DIR of the build script) nor in %s", program, r.Config.Dir)
		}
		if is := programArch(source); slices.Contains(Arches(), is) && is != v.arch {
			return gt, nil, fmt.Errorf("%s is a program for %s; the build has to make one for $GOARCH", source, is)
		}
		more, err := r.closure(source, want)
		return gt, more, err
	}
	if r.hasRoot() {
		return gt, nil, nil // the root has it, or not
	}
	if v.arch != runtime.GOARCH {
		return gt, nil, fmt.Errorf("%s would be taken from this %s machine; put a binary for %s into $BPFCOV_BUILD_DIR", program, runtime.GOARCH, v.arch)
	}
	host, err := exec.LookPath(program)
	if err != nil {
		return gt, nil, err
	}
	if host, err = filepath.Abs(host); err != nil {
		return gt, nil, err
	}
	gt.Command[0] = host
	more, err := initramfs.Closure(host, "", "")
	return gt, more, err
}

// guestDir is the working folder of tests in the guest: the build folder's content and each test's files.
const guestDir = "/test"

// guestFiles lists what the tests of a build need in the guest.
func (r *Runner) guestFiles(v variant) ([]initramfs.File, error) {
	files, err := treeFiles(v.buildDir(), v.guest)
	if err != nil {
		return nil, err
	}
	// A test that takes everything from the host needs a folder to run in all the same.
	files = append(files, initramfs.File{Path: v.guest, Mode: fs.ModeDir | 0o755})
	for _, t := range r.Config.Tests {
		for _, glob := range t.Files {
			more, err := globFiles(r.Config.Dir, glob, v.guest)
			if err != nil {
				return nil, &TestError{t.Name, v.arch, err}
			}
			files = append(files, more...)
		}
	}
	return files, nil
}

// dedupe sorts files by path; of several with one path the first stays. A test's program is listed by the build
// folder and again by its closure.
func dedupe(files []initramfs.File) []initramfs.File {
	sort.SliceStable(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	return slices.CompactFunc(files, func(a, b initramfs.File) bool { return a.Path == b.Path })
}

// treeFiles lists the regular files and symbolic links below dir, to stand below guest.
func treeFiles(dir, guest string) ([]initramfs.File, error) {
	var files []initramfs.File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, err := hostFile(path, filepath.Join(guest, rel))
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// hostFile describes one file of the host; a symbolic link is followed, so that it may lead anywhere.
func hostFile(path, guest string) (initramfs.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return initramfs.File{}, err
	}
	if !st.Mode().IsRegular() {
		return initramfs.File{}, fmt.Errorf("%s: is neither a file nor a folder", path)
	}
	return initramfs.File{Path: guest, Mode: st.Mode().Perm(), Source: path}, nil
}

// globFiles lists the files of dir that glob matches, and what is in the folders, to stand below guest.
func globFiles(dir, glob, guest string) ([]initramfs.File, error) {
	if !filepath.IsLocal(glob) {
		return nil, fmt.Errorf("files: %q leads out of the folder of the configuration file", glob)
	}
	matches, err := filepath.Glob(filepath.Join(dir, glob))
	if err != nil {
		return nil, fmt.Errorf("files: %q: %w", glob, err)
	}
	if len(matches) == 0 {
		return nil, fmt.Errorf("files: %q matches nothing in %s", glob, dir)
	}
	var files []initramfs.File
	for _, m := range matches {
		rel, err := filepath.Rel(dir, m)
		if err != nil {
			return nil, err
		}
		st, err := os.Stat(m)
		if err != nil {
			return nil, err
		}
		if st.IsDir() {
			more, err := treeFiles(m, filepath.Join(guest, rel))
			if err != nil {
				return nil, err
			}
			files = append(files, more...)
			continue
		}
		f, err := hostFile(m, filepath.Join(guest, rel))
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// ErrNoTests is what a run without anything to run says.
var ErrNoTests = errors.New("no tests: name some in bpfcov.yaml (tests: [{command: [./my.test]}]) or give a command behind --")

package matrix

import (
	"context"
	"fmt"
	"runtime"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/rootfs"
)

// hasRoot reports whether guests have a root below the tests' files, which is where libraries and programs of a system come from then.
func (r *Runner) hasRoot() bool {
	s, err := rootfs.Parse(r.Config.VM.Root)
	return err == nil && s.Kind != rootfs.Closure
}

// Root makes the root of the guests of an architecture.
func (r *Runner) Root(ctx context.Context, arch string) (vm.Root, error) {
	s, err := rootfs.Parse(r.Config.VM.Root)
	if err != nil {
		return vm.Root{}, err
	}
	switch s.Kind {
	case rootfs.Image:
		m := rootfs.Maker{Base: r.Config.Dir, Refresh: r.Store.Refresh, Log: r.progress}
		disk, err := m.Disk(ctx, s, arch)
		return vm.Root{Disk: disk}, err
	case rootfs.Host:
		if arch != runtime.GOARCH {
			return vm.Root{}, fmt.Errorf("root host: this machine is %s, and its programs do not run in a guest of %s; use an image", runtime.GOARCH, arch)
		}
		return vm.Root{Share: "/"}, nil
	}
	return vm.Root{}, nil
}

// makeRoots makes the root of each architecture that has something to run.
func (r *Runner) makeRoots(ctx context.Context, kept [][]collect.Record) (map[string]vm.Root, error) {
	roots := map[string]vm.Root{}
	for i, p := range r.Points {
		if _, done := roots[p.Arch]; done || kept[i] != nil {
			continue
		}
		root, err := r.Root(ctx, p.Arch)
		if err != nil {
			return nil, err
		}
		roots[p.Arch] = root
	}
	return roots, nil
}

// closure is a program with what it needs, as far as the root has not got that.
func (r *Runner) closure(source, guest string) ([]initramfs.File, error) {
	if !r.hasRoot() {
		return initramfs.Closure(source, guest, "")
	}
	f, err := hostFile(source, guest)
	if err != nil {
		return nil, err
	}
	return []initramfs.File{f}, nil
}

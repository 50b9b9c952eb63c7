package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// corpus is the folder of BPF selftests of a Linux source tree, with what is generated for them.
type corpus struct {
	tree    string // of Linux
	include string // vmlinux.h and libbpf's headers as <bpf/…>
	sources []string
	cflags  []string          // instead of those of the selftests
	byName  map[string]string // sources by the name of their object
}

const selftests = "tools/testing/selftests/bpf"

// openCorpus finds or unpacks the sources and generates vmlinux.h from the running kernel's BTF, as the selftests' Makefile does, and
// libbpf's helper definitions.
func openCorpus(ctx context.Context, o options) (*corpus, error) {
	if err := os.MkdirAll(o.work, 0o755); err != nil {
		return nil, err
	}
	c := &corpus{tree: o.source, include: filepath.Join(o.work, "include"), byName: map[string]string{}}
	if o.sources != "" {
		return c, c.others(o)
	}
	if st, err := os.Stat(o.source); o.source == "" || err != nil || !st.IsDir() {
		var err error
		if c.tree, err = unpack(ctx, o); err != nil {
			return nil, err
		}
	}
	var err error
	if c.tree, err = filepath.Abs(c.tree); err != nil {
		return nil, err
	}
	if err := c.headers(ctx); err != nil {
		return nil, err
	}
	c.sources, err = filepath.Glob(filepath.Join(c.tree, selftests, "progs", o.only+".c"))
	if err != nil {
		return nil, err
	}
	if len(c.sources) == 0 {
		return nil, fmt.Errorf("%s: no sources match %s", filepath.Join(c.tree, selftests, "progs"), o.only)
	}
	c.sources = slices.DeleteFunc(c.sources, func(s string) bool { return o.skip.MatchString(filepath.Base(s)) })
	return c, c.index()
}

// others takes sources that are no selftests.
func (c *corpus) others(o options) error {
	for pattern := range strings.SplitSeq(o.sources, ",") {
		list, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return fmt.Errorf("no sources match %s", pattern)
		}
		for _, name := range list {
			if name, err = filepath.Abs(name); err != nil {
				return err
			}
			c.sources = append(c.sources, name)
		}
	}
	c.cflags = append([]string{"-g", "-O2", "-target", "bpf"}, strings.Fields(o.cflags)...)
	return c.index()
}

func (c *corpus) index() error {
	sort.Strings(c.sources)
	for _, s := range c.sources {
		name := objectName(s)
		if c.byName[name] != "" {
			return fmt.Errorf("%s and %s would both be %s", c.byName[name], s, name)
		}
		c.byName[name] = s
	}
	return nil
}

func objectName(source string) string { return strings.TrimSuffix(filepath.Base(source), ".c") + ".o" }

// unpack takes from a tarball what the selftests need.
func unpack(ctx context.Context, o options) (string, error) {
	tarball := o.source
	if tarball == "" {
		list, _ := filepath.Glob(filepath.Join(o.work, "deb/usr/src/linux-source-*.tar.xz"))
		if len(list) == 0 {
			progress("fetching the package linux-source-6.1")
			script := `set -e; rm -rf deb linux-source-*.deb; apt-get download -q linux-source-6.1 >&2; dpkg-deb -x linux-source-*.deb deb; rm linux-source-*.deb`
			if err := command(ctx, o.work, nil, "sh", "-c", script); err != nil {
				return "", err
			}
			list, _ = filepath.Glob(filepath.Join(o.work, "deb/usr/src/linux-source-*.tar.xz"))
		}
		if len(list) == 0 {
			return "", fmt.Errorf("%s: the package linux-source-6.1 left no tarball", o.work)
		}
		tarball = list[0]
	}
	name := strings.TrimSuffix(filepath.Base(tarball), ".tar.xz")
	tree := filepath.Join(o.work, name)
	if _, err := os.Stat(filepath.Join(tree, selftests, "progs")); err == nil {
		return tree, nil
	}
	progress("unpacking %s", tarball)
	return tree, command(ctx, o.work, nil, "tar", "-xf", tarball, name+"/tools", name+"/include", name+"/scripts")
}

func (c *corpus) headers(ctx context.Context) error {
	bpf := filepath.Join(c.include, "bpf")
	if err := os.MkdirAll(bpf, 0o755); err != nil {
		return err
	}
	script := `set -e
[ -s vmlinux.h ] || { bpftool btf dump file /sys/kernel/btf/vmlinux format c > vmlinux.tmp; mv vmlinux.tmp vmlinux.h; }
cp "$TREE"/tools/lib/bpf/*.h bpf/
[ -s bpf/bpf_helper_defs.h ] || python3 "$TREE"/scripts/bpf_doc.py --header --filename "$TREE"/tools/include/uapi/linux/bpf.h > bpf/bpf_helper_defs.h`
	return command(ctx, c.include, []string{"TREE=" + c.tree}, "sh", "-c", script)
}

// flags are those of the selftests' Makefile (CLANG_BPF_BUILD_RULE) for x86.
func (c *corpus) flags() []string {
	if c.cflags != nil {
		return slices.Clone(c.cflags)
	}
	t := filepath.Join(c.tree, "tools")
	return []string{
		"-g", "-O2", "-target", "bpf", "-mcpu=v3", "-D__TARGET_ARCH_x86", "-mlittle-endian", "-I" + c.include, "-I" + filepath.Join(c.tree, selftests),
		"-I" + filepath.Join(t, "include/uapi"), "-I" + filepath.Join(t, "testing/selftests/usr/include"),
		"-idirafter", "/usr/include/x86_64-linux-gnu", "-idirafter", "/usr/local/include", "-idirafter", "/usr/include",
		"-Wno-compare-distinct-pointer-types", "-w",
	}
}

// sourceOf is the source of an object.
func (c *corpus) sourceOf(object string) string { return c.byName[object] }

func command(ctx context.Context, dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

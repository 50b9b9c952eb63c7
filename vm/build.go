package vm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/initramfs"
	"github.com/bpfcov/bpfcov/vm/kernels"
)

// buildInitramfs writes an archive of files into a folder and returns its name.
func buildInitramfs(dir string, files []initramfs.File) (name string, err error) {
	f, err := os.CreateTemp(dir, ".initramfs-*.cpio")
	if err != nil {
		return "", err
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = cerr
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	return f.Name(), initramfs.Write(f, files)
}

// cellFiles lists the files of a guest that boots for its tests.
func cellFiles(c *CellConfig) ([]initramfs.File, error) {
	if err := checkFiles(c.Files); err != nil {
		return nil, err
	}
	files, err := agentFiles(c, guest.Job{Tests: c.Tests, Sysctls: c.Sysctls})
	if err != nil {
		return nil, err
	}
	return append(files, below(c.Root.upper(), testFiles(c))...), nil
}

// testFiles lists the files that tests need: their own, and what they do not replace of a system's.
func testFiles(c *CellConfig) []initramfs.File {
	if c.Root.used() {
		return c.Files // that root has what a system has
	}
	have := map[string]bool{}
	for _, f := range c.Files {
		have[f.Path] = true
	}
	files := c.Files[:len(c.Files):len(c.Files)]
	for _, f := range systemFiles() {
		if !have[f.Path] {
			files = append(files, f)
		}
	}
	return files
}

// savedFiles splits what tests need into files that a saved guest of c can have already, and those that each run sends. They are
// the same for all guests of a kernel, unless the tests bring something else in their place.
func savedFiles(c *CellConfig) (saved, sent []initramfs.File) {
	if c.Root.used() {
		return nil, c.Files
	}
	system := systemFiles()
	for _, f := range c.Files {
		for _, s := range system {
			same, above := f.Path == s.Path, strings.HasPrefix(s.Path, f.Path+"/")
			if same && (f.Link != "" || f.Mode.IsDir() != s.Mode.IsDir()) || above && !f.Mode.IsDir() {
				return nil, testFiles(c)
			}
		}
	}
	return system, c.Files
}

func checkFiles(files []initramfs.File) error {
	for _, f := range files {
		if f.Path == guest.InitPath || f.Path == guest.Dir || strings.HasPrefix(f.Path, guest.Dir+"/") {
			return fmt.Errorf("file %s: this path is the agent's", f.Path)
		}
	}
	return nil
}

// agentFiles lists the files of the agent: itself, the kernel's modules and the job.
func agentFiles(c *CellConfig, job guest.Job) ([]initramfs.File, error) {
	files := []initramfs.File{{Path: guest.InitPath, Mode: 0o755, Source: c.Agent}}
	loaded := map[string]bool{}
	add := func(modules []kernels.Module) (added []guest.Module) {
		for _, m := range modules {
			if loaded[m.Name] {
				continue
			}
			loaded[m.Name] = true
			f := moduleFile(len(files), m.Name, m.Data)
			files = append(files, f)
			added = append(added, guest.Module{Name: m.Name, Path: f.Path})
		}
		return added
	}
	port, _, err := c.Kernel.LoadModules(nil, portModules(c.Kernel.Arch))
	if err != nil {
		return nil, err
	}
	if sigOptional(c.Kernel.Config) {
		for i := range port {
			port[i].Data = stripSignature(port[i].Data)
		}
	}
	job.PortModules = add(port)
	job.Root = c.Root.kind()
	root, err := rootModules(c)
	if err != nil {
		return nil, err
	}
	job.RootModules = add(root)
	more, _, err := c.Kernel.LoadModules(c.Modules, c.OptionalModules)
	if err != nil {
		return nil, err
	}
	job.Modules = add(more)
	if !slices.ContainsFunc(c.KernelArgs, printkArg) {
		// Quiet while it boots; but the kernel's own WARN prints at level 4, which quiet leaves out.
		job.Sysctls = append([]guest.Sysctl{{Name: "kernel.printk", Value: "5"}}, job.Sysctls...)
	}
	b, err := job.Encode()
	if err != nil {
		return nil, err
	}
	return append(files, initramfs.File{Path: guest.JobPath, Data: b}), nil
}

// portModules are what the port needs where it is not built in; up to 6.1 Debian's kernels have it all as modules.
func portModules(arch string) []string {
	if arch == "s390x" {
		return []string{"virtio_ccw", "virtio_console"}
	}
	return []string{"virtio_pci", "virtio_console"}
}

func moduleFile(n int, name string, data []byte) initramfs.File {
	return initramfs.File{Path: path.Join(guest.Dir, "modules", fmt.Sprintf("%03d-%s.ko", n, name)), Data: data}
}

// sigOptional reports whether a kernel's config says that it loads modules without a signature.
func sigOptional(config string) bool {
	b, err := os.ReadFile(config)
	return err == nil && bytes.Contains(b, []byte("# CONFIG_MODULE_SIG_FORCE is not set\n"))
}

// stripSignature cuts off what scripts/sign-file of the kernel appends to a module: the signature, a struct
// module_signature of 12 bytes that ends in the signature's big-endian size, and a magic line. Checking six signatures
// costs an emulated guest more instructions than everything else that the agent does: 60 of 97 million. The kernel
// then notes that it is tainted by unsigned modules (E), as by any that users build themselves. Only
// the port's own modules are treated so.
func stripSignature(module []byte) []byte {
	const info = 12
	body, ok := bytes.CutSuffix(module, []byte("~Module signature appended~\n"))
	if !ok || len(body) < info {
		return module
	}
	n := int64(binary.BigEndian.Uint32(body[len(body)-4:]))
	if n > int64(len(body)-info) {
		return module
	}
	return body[:int64(len(body)-info)-n]
}

// systemFiles are what C libraries expect of a system; the cell's own files go before them.
func systemFiles() []initramfs.File {
	return []initramfs.File{
		{Path: "/root", Mode: fs.ModeDir | 0o700},
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{Path: "/etc/passwd", Data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n")},
		{Path: "/etc/group", Data: []byte("root:x:0:\ntty:x:5:\nnogroup:x:65534:\n")},
		{Path: "/etc/hosts", Data: []byte("127.0.0.1 localhost bpfcov\n::1 localhost\n")},
		{Path: "/etc/nsswitch.conf", Data: []byte("passwd: files\ngroup: files\nhosts: files\n")},
	}
}

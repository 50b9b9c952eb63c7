package kernels

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxModule      = 256 << 20 // bytes of one module, decompressed; amdgpu, the largest, has about 30 MiB
	maxModuleFiles = 1 << 17   // entries of a modules folder
	maxModinfo     = 4 << 20   // bytes of .modinfo
	maxModuleDeps  = 4096      // modules that one load may bring in
)

// ErrNoModule is the cause in a [*ModuleError] when the kernel has no module of that name, neither as a file nor
// built in.
var ErrNoModule = errors.New("no such module, neither a file nor built in")

// A Module is one kernel module, ready for init_module(2).
type Module struct {
	Name string // with underscores, as in /proc/modules
	Path string // below [Kernel.Modules], slash-separated, "kernel/drivers/virtio/virtio_pci.ko.xz"
	Data []byte // the ELF file, decompressed
}

// ModuleFiles returns the named modules and all that they depend on, each once, in an order in which they load.
// Modules that are built into the kernel are left out, so the answer may be empty. "-" and "_" are equal in names.
// A module that does not exist gives a [*ModuleError] with [ErrNoModule].
//
// A kernel without a list of what is built in (modules.builtin; a bare image has none, and some packages of
// 6.18 lack it) is taken to have built in whatever there is no file for.
func (k *Kernel) ModuleFiles(names ...string) ([]Module, error) {
	mods, _, err := k.LoadModules(names, nil)
	return mods, err
}

// LoadModules is ModuleFiles with a second list of modules that are taken if the kernel has them. It returns the
// names of those that it has not, in the order given.
func (k *Kernel) LoadModules(required, optional []string) (mods []Module, missing []string, err error) {
	if len(required)+len(optional) == 0 {
		return nil, nil, nil // without a look at the folder
	}
	ix := &moduleIndex{release: k.Release, assume: true}
	if k.Modules != "" {
		root, err := os.OpenRoot(k.Modules)
		if err != nil {
			return nil, nil, fmt.Errorf("kernel %s: modules: %w", k.Release, err)
		}
		defer root.Close()
		if ix, err = k.indexModules(root.FS()); err != nil {
			return nil, nil, fmt.Errorf("kernel %s: modules: %w", k.Release, err)
		}
	}
	l := loader{ix: ix, seen: map[string]bool{}}
	for _, n := range required {
		if err := l.add(n, ""); err != nil {
			return nil, nil, err
		}
	}
	for _, n := range optional {
		if !ix.has(n) {
			missing = append(missing, n)
			continue
		}
		if err := l.add(n, ""); err != nil {
			return nil, nil, err
		}
	}
	return l.out, missing, nil
}

// HasModule reports whether the kernel has the module, as a file or built in.
func (k *Kernel) HasModule(name string) bool {
	_, missing, err := k.LoadModules(nil, []string{name})
	return err == nil && len(missing) == 0
}

// A moduleIndex knows the modules of one release by their normal name.
type moduleIndex struct {
	release string
	fsys    fs.FS
	files   map[string]string // name to path
	builtin map[string]bool
	assume  bool // there is no list of what is built in
}

// indexModules finds out what modules there are.
func (k *Kernel) indexModules(fsys fs.FS) (*moduleIndex, error) {
	paths, err := k.modulePaths(fsys)
	if err != nil {
		return nil, err
	}
	ix := &moduleIndex{release: k.Release, fsys: fsys, files: map[string]string{}, builtin: map[string]bool{}}
	for _, p := range paths {
		name, ok := moduleName(p)
		if !ok {
			continue
		}
		// Like depmod, modules below updates/ win over those below kernel/, which come before.
		if old, dup := ix.files[name]; !dup || !strings.HasPrefix(old, "updates/") {
			ix.files[name] = p
		}
	}
	return ix, ix.readBuiltin()
}

// modulePaths returns the paths of modules, those below updates/ after those below kernel/. It finds them once for a kernel of the
// store: to look through the folders of Debian's smallest kernel takes 9 ms, and the list that is kept beside the kernel, a path a
// line, less than one.
func (k *Kernel) modulePaths(fsys fs.FS) ([]string, error) {
	memo := ""
	if k.Dir != "" {
		memo = filepath.Join(k.Dir, "modules.list")
		if b, err := os.ReadFile(memo); err == nil {
			return strings.Split(string(b), "\n"), nil
		}
	}
	find := walkModules
	if isTree(fsys) {
		find = orderedModules
	}
	paths, err := find(fsys)
	if err == nil && memo != "" {
		_ = writeFile(memo, []byte(strings.Join(append(paths, ""), "\n"))) // a store that cannot be written is read again next time
	}
	return paths, err
}

// walkModules looks for modules, in lexical order.
func walkModules(fsys fs.FS) (paths []string, err error) {
	n := 0
	err = fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if n++; n > maxModuleFiles {
			return fmt.Errorf("more than %d files", maxModuleFiles)
		}
		if _, ok := moduleName(p); ok && d.Type().IsRegular() {
			paths = append(paths, p)
		}
		return nil
	})
	return paths, err
}

// readBuiltin reads the list of what is built in.
func (ix *moduleIndex) readBuiltin() error {
	f, err := ix.fsys.Open("modules.builtin")
	if errors.Is(err, fs.ErrNotExist) {
		ix.assume = true
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	sc := bufio.NewScanner(io.LimitReader(f, 8<<20))
	for sc.Scan() {
		if name, ok := moduleName(sc.Text()); ok {
			ix.builtin[name] = true
		}
	}
	return sc.Err()
}

// moduleName gives the normal module name of a path, false when it is not a module file.
func moduleName(p string) (string, bool) {
	base := path.Base(p)
	for _, ext := range []string{".ko", ".ko.xz", ".ko.zst", ".ko.gz"} {
		if s, ok := strings.CutSuffix(base, ext); ok && s != "" {
			return normalName(s), true
		}
	}
	return "", false
}

func normalName(s string) string { return strings.ReplaceAll(s, "-", "_") }

func (ix *moduleIndex) has(name string) bool {
	name = normalName(name)
	return ix.builtin[name] || ix.files[name] != "" || ix.assume
}

func (ix *moduleIndex) read(p string) ([]byte, error) {
	f, err := ix.fsys.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := readLimited(f, maxModule)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(p, ".ko") {
		return raw, nil
	}
	return decompress(raw, maxModule)
}

// A loader collects modules depth first.
type loader struct {
	ix   *moduleIndex
	seen map[string]bool
	out  []Module
}

func (l *loader) add(name, neededBy string) error {
	name = normalName(name)
	if l.seen[name] {
		return nil
	}
	l.seen[name] = true
	fail := func(err error) error {
		return &ModuleError{Release: l.ix.release, Module: name, NeededBy: neededBy, Err: err}
	}
	p, ok := l.ix.files[name]
	if !ok {
		if l.ix.has(name) {
			return nil
		}
		return fail(ErrNoModule)
	}
	if len(l.seen) > maxModuleDeps {
		return fail(fmt.Errorf("more than %d dependencies", maxModuleDeps))
	}
	data, err := l.ix.read(p)
	if err != nil {
		return fail(err)
	}
	info, err := parseModinfo(data)
	if err != nil {
		return fail(err)
	}
	for _, d := range info.soft {
		// A soft dependency names a module or an alias. Of aliases only the crypto layer's matter to what tests
		// load (crc32c is provided by crc32c_generic), and there is no modprobe in the guest to look them up.
		for _, n := range []string{d, d + "_generic"} {
			if l.ix.files[normalName(n)] != "" {
				if err := l.add(n, name); err != nil {
					return err
				}
			}
		}
	}
	for _, d := range info.depends {
		if err := l.add(d, name); err != nil {
			return err
		}
	}
	l.out = append(l.out, Module{Name: name, Path: p, Data: data})
	return nil
}

// modinfo is what matters of a module's .modinfo section.
type modinfo struct {
	depends  []string
	soft     []string // of "softdep=pre: a b post: c": a and b
	vermagic string
}

// parseModinfo reads the .modinfo section of a module, decompressed. The section holds NUL-terminated "key=value"
// strings (include/linux/moduleparam.h); padding NULs may stand between them.
func parseModinfo(data []byte) (modinfo, error) {
	var m modinfo
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return m, fmt.Errorf("not an ELF file: %w", err)
	}
	s := f.Section(".modinfo")
	if s == nil || s.Type == elf.SHT_NOBITS {
		return m, errors.New("no .modinfo section")
	}
	if s.Size > maxModinfo {
		return m, fmt.Errorf(".modinfo has %d bytes (max %d)", s.Size, maxModinfo)
	}
	b, err := readLimited(s.Open(), maxModinfo)
	if err != nil {
		return m, err
	}
	for kv := range strings.SplitSeq(string(b), "\x00") {
		k, v, _ := strings.Cut(kv, "=")
		switch k {
		case "depends":
			for d := range strings.SplitSeq(v, ",") {
				if d != "" && !slices.Contains(m.depends, d) {
					m.depends = append(m.depends, d)
				}
			}
		case "softdep":
			pre := false
			for w := range strings.FieldsSeq(v) {
				switch {
				case w == "pre:" || w == "post:":
					pre = w == "pre:"
				case pre && !slices.Contains(m.soft, w):
					m.soft = append(m.soft, w)
				}
			}
		case "vermagic":
			m.vermagic = v
		}
	}
	return m, nil
}

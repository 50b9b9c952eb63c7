package initramfs

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// MissingLibraryError says which shared library of a program was not found.
type MissingLibraryError struct {
	Library  string   // as DT_NEEDED names it
	NeededBy string   // file of the host
	Searched []string // folders, in order
}

func (e *MissingLibraryError) Error() string {
	return fmt.Sprintf("%s needs the shared library %s, which is in none of %s; install it or link statically",
		e.NeededBy, e.Library, strings.Join(e.Searched, ", "))
}

// Closure lists program and everything that the kernel and the dynamic loader need to start it: for an
// ELF file the interpreter and all libraries that DT_NEEDED names, found as ld.so(8) does; for a script
// the interpreter of its first line, with that one's own libraries. What a program opens by itself
// (dlopen, NSS, data files) cannot be seen and must be listed by the caller.
//
// The program gets the path guest, or its own when guest is empty; libraries keep the host's paths, and those
// found relative to the program ($ORIGIN) stay relative to it. sysroot, usually empty, is the folder
// that holds the other architecture's /lib and /etc/ld.so.conf. program itself is not below it.
func Closure(program, guest, sysroot string) ([]File, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	if guest == "" {
		guest = filepath.ToSlash(program)
	}
	c := &closure{sysroot: sysroot, seen: map[string]bool{}}
	if err := c.program(program, guest, 0); err != nil {
		return nil, err
	}
	return c.files, nil
}

type closure struct {
	sysroot string
	conf    []string // folders of ld.so.conf, read on first use
	confOK  bool
	files   []File
	seen    map[string]bool // guest paths
	libcDir string          // guest folder that is certainly searched by the loader
	extra   []File          // libraries that only ld.so.cache would find
}

// maxScripts bounds a chain of scripts that are each other's interpreter; the kernel allows 4 (fs/exec.c).
const maxScripts = 4

func (c *closure) host(guest string) string {
	return filepath.Join(c.sysroot, filepath.FromSlash(guest))
}

func (c *closure) add(guest, host string) bool {
	if c.seen[guest] {
		return false
	}
	c.seen[guest] = true
	c.files = append(c.files, File{Path: guest, Source: host})
	return true
}

func (c *closure) program(host, guest string, depth int) error {
	f, err := os.Open(host)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 256)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && err != io.EOF {
		return fmt.Errorf("%s: %w", host, err)
	}
	head = head[:n]
	if !c.add(guest, host) {
		return nil
	}
	switch {
	case bytes.HasPrefix(head, []byte("#!")):
		if depth == maxScripts {
			return fmt.Errorf("%s: more than %d scripts interpret each other", host, maxScripts)
		}
		return c.script(host, head, depth)
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return c.elf(host, guest)
	}
	return nil // data, or a script without a first line; the shell that runs it is the caller's business
}

func (c *closure) script(host string, head []byte, depth int) error {
	line, _, _ := bytes.Cut(head[2:], []byte("\n"))
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return fmt.Errorf("%s: first line names no interpreter", host)
	}
	want := words[:1]
	if path.Base(words[0]) == "env" {
		for _, w := range words[1:] {
			if strings.HasPrefix(w, "-") || strings.Contains(w, "=") {
				continue
			}
			p, err := c.lookPath(w)
			if err != nil {
				return fmt.Errorf("%s: %w", host, err)
			}
			want = append(want, p)
			break
		}
	}
	for _, w := range want {
		if err := c.program(c.host(w), w, depth+1); err != nil {
			return fmt.Errorf("interpreter of %s: %w", host, err)
		}
	}
	return nil
}

func (c *closure) lookPath(name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return name, nil
	}
	dirs := []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
	for _, d := range dirs {
		if st, err := os.Stat(c.host(path.Join(d, name))); err == nil && st.Mode().IsRegular() {
			return path.Join(d, name), nil
		}
	}
	return "", fmt.Errorf("interpreter %s is in none of %s", name, strings.Join(dirs, ", "))
}

// object is an ELF file whose libraries are still to be found.
type object struct {
	host, guest string
	rpath       []folder // DT_RPATH, its own and that of those that loaded it
}

// folder is a place to search: libraries found in host appear in guest.
type folder struct{ host, guest string }

func (c *closure) elf(host, guest string) error {
	interp, class, machine, err := header(host)
	if err != nil {
		return fmt.Errorf("%s: %w", host, err)
	}
	if interp == "" {
		return nil // static
	}
	if _, err := os.Stat(c.host(interp)); err != nil {
		return fmt.Errorf("%s: dynamic loader: %w", host, err)
	}
	c.add(interp, c.host(interp))
	c.extra = nil
	queue := []object{{host: host, guest: guest}}
	done := map[string]bool{path.Base(interp): true}
	for len(queue) > 0 {
		o := queue[0]
		queue = queue[1:]
		found, err := c.needed(o, class, machine, done)
		if err != nil {
			return err
		}
		queue = append(queue, found...)
	}
	dir := c.libcDir
	if dir == "" {
		dir = path.Dir(interp)
	}
	for _, f := range c.extra {
		link := path.Join(dir, path.Base(f.Path))
		if link != f.Path && !c.seen[link] {
			c.seen[link] = true
			c.files = append(c.files, File{Path: link, Link: f.Path})
		}
	}
	return nil
}

func (c *closure) needed(o object, class elf.Class, machine elf.Machine, done map[string]bool) ([]object, error) {
	f, err := elf.Open(o.host)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.host, err)
	}
	defer f.Close()
	libs, err := f.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.host, err)
	}
	runpath, err := c.dynPath(f, elf.DT_RUNPATH, o)
	if err != nil {
		return nil, err
	}
	rpath, err := c.dynPath(f, elf.DT_RPATH, o)
	if err != nil {
		return nil, err
	}
	search := runpath
	if len(runpath) == 0 { // DT_RUNPATH replaces DT_RPATH, and is not inherited
		search = append(append([]folder{}, rpath...), o.rpath...)
	}
	inherit := append(append([]folder{}, rpath...), o.rpath...)
	var found []object
	for _, lib := range libs {
		if done[path.Base(lib)] {
			continue
		}
		done[path.Base(lib)] = true
		at, cacheOnly, err := c.find(lib, o, search, class, machine)
		if err != nil {
			return nil, err
		}
		if path.Base(lib) == "libc.so.6" {
			c.libcDir = path.Dir(at.guest)
		}
		if cacheOnly {
			c.extra = append(c.extra, File{Path: at.guest})
		}
		c.add(at.guest, at.host)
		found = append(found, object{host: at.host, guest: at.guest, rpath: inherit})
	}
	return found, nil
}

// find looks for lib as ld.so does. cacheOnly tells that the guest's loader, which has no
// ld.so.cache, would not look there.
func (c *closure) find(lib string, o object, search []folder, class elf.Class, machine elf.Machine) (at folder, cacheOnly bool, err error) {
	if strings.Contains(lib, "/") {
		if fits(c.host(lib), class, machine) {
			return folder{c.host(lib), lib}, false, nil
		}
		return folder{}, false, &MissingLibraryError{lib, o.host, []string{path.Dir(lib)}}
	}
	builtin := c.builtin(machine)
	conf := c.ldConf()
	var searched []string
	try := func(d folder) bool {
		searched = append(searched, d.host)
		at = folder{filepath.Join(d.host, lib), path.Join(d.guest, lib)}
		return fits(at.host, class, machine)
	}
	for _, d := range search {
		if try(d) {
			return at, false, nil
		}
	}
	for _, d := range builtin {
		if try(folder{c.host(d), d}) {
			return at, false, nil
		}
	}
	for _, d := range conf {
		if try(folder{c.host(d), d}) {
			return at, true, nil
		}
	}
	return folder{}, false, &MissingLibraryError{lib, o.host, searched}
}

// builtin lists the folders compiled into the loaders of Debian (multiarch), Fedora (lib64), and musl.
func (c *closure) builtin(m elf.Machine) []string {
	var dirs []string
	if t := map[elf.Machine]string{
		elf.EM_X86_64: "x86_64-linux-gnu", elf.EM_AARCH64: "aarch64-linux-gnu", elf.EM_RISCV: "riscv64-linux-gnu",
		elf.EM_S390: "s390x-linux-gnu", elf.EM_PPC64: "powerpc64le-linux-gnu",
	}[m]; t != "" {
		dirs = append(dirs, "/lib/"+t, "/usr/lib/"+t)
	}
	return append(dirs, "/lib64", "/usr/lib64", "/lib", "/usr/lib")
}

// dynPath expands a DT_RUNPATH or DT_RPATH of f.
func (c *closure) dynPath(f *elf.File, tag elf.DynTag, o object) ([]folder, error) {
	vals, err := f.DynString(tag)
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return nil, fmt.Errorf("%s: %w", o.host, err)
	}
	lib := "lib"
	if f.Class == elf.ELFCLASS64 {
		lib = "lib64"
	}
	var out []folder
	for _, v := range vals {
		for _, d := range strings.Split(v, ":") {
			if d == "" {
				continue
			}
			d = strings.NewReplacer("$LIB", lib, "${LIB}", lib).Replace(d)
			host := strings.NewReplacer("$ORIGIN", filepath.Dir(o.host), "${ORIGIN}", filepath.Dir(o.host)).Replace(d)
			guest := strings.NewReplacer("$ORIGIN", path.Dir(o.guest), "${ORIGIN}", path.Dir(o.guest)).Replace(d)
			if host == d {
				host = c.host(d)
			}
			if path.IsAbs(guest) {
				out = append(out, folder{host, path.Clean(guest)})
			}
		}
	}
	return out, nil
}

// ldConf reads /etc/ld.so.conf and what it includes, one level deep as distributions use it.
func (c *closure) ldConf() []string {
	if c.confOK {
		return c.conf
	}
	c.confOK = true
	var read func(name string, depth int)
	read = func(name string, depth int) {
		f, err := os.Open(name)
		if err != nil {
			return
		}
		defer f.Close()
		sc := bufio.NewScanner(f)
		for sc.Scan() {
			line, _, _ := strings.Cut(sc.Text(), "#")
			words := strings.Fields(line)
			switch {
			case len(words) == 2 && words[0] == "include" && depth < 4:
				pattern := words[1]
				if !path.IsAbs(pattern) {
					pattern = "/etc/" + pattern
				}
				names, _ := filepath.Glob(c.host(pattern))
				for _, n := range names {
					read(n, depth+1)
				}
			case len(words) == 1 && path.IsAbs(words[0]):
				c.conf = append(c.conf, path.Clean(words[0]))
			}
		}
	}
	read(c.host("/etc/ld.so.conf"), 0)
	return c.conf
}

// header reads what decides about an ELF file's loader. interp is empty for a static one.
func header(name string) (interp string, class elf.Class, machine elf.Machine, err error) {
	f, err := elf.Open(name)
	if err != nil {
		return "", 0, 0, err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		if p.Filesz > 4096 {
			return "", 0, 0, fmt.Errorf("interpreter name of %d bytes", p.Filesz)
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			return "", 0, 0, fmt.Errorf("interpreter name: %w", err)
		}
		interp = strings.TrimRight(string(b), "\x00")
		if !path.IsAbs(interp) {
			return "", 0, 0, fmt.Errorf("interpreter %q is not an absolute path", interp)
		}
		interp = path.Clean(interp)
	}
	return interp, f.Class, f.Machine, nil
}

// fits reports whether name is a library of the right architecture; ld.so passes over others.
func fits(name string, class elf.Class, machine elf.Machine) bool {
	f, err := elf.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	return f.Type == elf.ET_DYN && f.Class == class && f.Machine == machine
}

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// singleWordClang returns bpfcov-clang of this installation: the file beside this executable, or a link to
// this executable, which becomes bpfcov-clang when it is called so.
func singleWordClang() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", err
	}
	if p := filepath.Join(filepath.Dir(self), "bpfcov-clang"); isFile(p) {
		return p, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "bpfcov", "bin")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	link := filepath.Join(dir, "bpfcov-clang")
	if to, err := os.Readlink(link); err == nil && to == self {
		return link, nil
	}
	// Renaming replaces an older link without a moment in which there is none.
	tmp := fmt.Sprintf("%s.%d", link, os.Getpid())
	if err := os.Symlink(self, tmp); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, link); err != nil {
		os.Remove(tmp)
		return "", err
	}
	return link, nil
}

// stripBeside returns the llvm-strip that belongs to a clang, "" when there is none: bpf2go derives its
// name from a compiler that is called clang-N only.
func stripBeside(clang string) string {
	_, suffix, _ := strings.Cut(filepath.Base(clang), "clang")
	if p := filepath.Join(filepath.Dir(clang), "llvm-strip"+suffix); isFile(p) {
		return p
	}
	p, err := exec.LookPath("llvm-strip")
	if err != nil {
		return ""
	}
	return p
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

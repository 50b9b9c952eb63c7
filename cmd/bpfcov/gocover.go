package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/tools/cover"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm"
	"github.com/bpfcov/bpfcov/vm/guest"
	"github.com/bpfcov/bpfcov/vm/matrix"
)

// goProfile makes one cover profile of what Go programs built with -cover left in the guests' GOCOVERDIR, of all cells and tests
// together, with the go command of this machine. It returns "" when they left nothing.
func goProfile(ctx context.Context, out string) (file string, err error) {
	pattern := filepath.Join(out, "cells", "*", "*"+vm.ArtefactSuffix, filepath.FromSlash(guest.GoCoverDir))
	dirs, err := filepath.Glob(pattern)
	if err != nil || len(dirs) == 0 {
		return "", err
	}
	for _, dir := range dirs {
		if strings.Contains(dir, ",") {
			return "", fmt.Errorf("%s: the go command takes a comma for the end of a folder's name; choose another --out", dir)
		}
	}
	file = filepath.Join(out, "go-cover.txt")
	if err := goTextProfile(ctx, file, dirs); err != nil {
		os.Remove(file)
		return "", err
	}
	return file, nil
}

// goTextProfile makes one text profile of GOCOVERDIR folders.
func goTextProfile(ctx context.Context, path string, dirs []string) error {
	cmd := exec.CommandContext(ctx, "go", "tool", "covdata", "textfmt", "-i="+strings.Join(dirs, ","), "-o="+path)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go tool covdata textfmt: %w: %s", err, strings.TrimSpace(text.String()))
	}
	return nil
}

// addGoCoverage puts what Go programs left in the guests' GOCOVERDIR into the records of their runs, with file names relative to
// root where a module below it has them.
func addGoCoverage(ctx context.Context, r *matrix.Runner, res *matrix.Result, root string) error {
	dirs := map[string]string{} // by run id
	for _, c := range res.Cells {
		if c.Result == nil {
			continue
		}
		for _, rec := range c.Result.Records {
			dir := filepath.Join(r.Out, "cells", c.Name, vm.ArtefactDir(rec.Run.Test), filepath.FromSlash(guest.GoCoverDir))
			if _, err := os.Stat(dir); err == nil {
				dirs[rec.Run.ID] = dir
			}
		}
	}
	if len(dirs) == 0 {
		return nil
	}
	tmp, err := os.MkdirTemp("", "bpfcov-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	modules := goModules(root)
	return collect.ReadOptions{Damaged: func(string, error) {}}.Walk(func(path string, rec *collect.Record) error {
		dir := dirs[rec.Run.ID]
		if dir == "" {
			return nil
		}
		profile := filepath.Join(tmp, "profile")
		if err := goTextProfile(ctx, profile, []string{dir}); err != nil {
			return err
		}
		profiles, err := cover.ParseProfiles(profile)
		if err != nil {
			return err
		}
		if rec.UserSpace = userFiles(profiles, root, modules); len(rec.UserSpace) == 0 {
			return nil
		}
		_, err = collect.WriteRecord(filepath.Dir(path), rec)
		return err
	}, res.Covdata)
}

func userFiles(profiles []*cover.Profile, root string, modules map[string]string) []collect.UserFile {
	var files []collect.UserFile
	for _, p := range profiles {
		f := collect.UserFile{Language: collect.LanguageGo, Name: goFileName(p.FileName, root, modules)}
		for _, b := range p.Blocks {
			f.Blocks = append(f.Blocks, collect.UserBlock{Line: b.StartLine, Column: b.StartCol, EndLine: b.EndLine, EndColumn: b.EndCol, Count: uint64(b.Count)})
		}
		files = append(files, f)
	}
	return collect.MergeUserFiles(nil, files)
}

// goFileName makes the name of a file in a Go profile relative to the root. It begins with its package's import path, or is absolute
// for a package that was named by its files.
func goFileName(name, root string, modules map[string]string) string {
	if filepath.IsAbs(name) {
		if rel, err := filepath.Rel(root, name); err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel)
		}
		return name
	}
	for module := name; module != "."; module = path.Dir(module) {
		if dir, ok := modules[module]; ok {
			return path.Join(dir, strings.TrimPrefix(name, module))
		}
	}
	return name
}

// goModules returns the folders below root, relative to it, of Go modules, by module path.
func goModules(root string) map[string]string {
	const deepest = 6
	modules := map[string]string{}
	_ = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // no name will be found there
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return nil
		}
		if d.IsDir() {
			if base := d.Name(); rel != "." && (strings.HasPrefix(base, ".") || base == "node_modules" || base == "vendor") || strings.Count(rel, string(filepath.Separator)) >= deepest {
				return filepath.SkipDir
			}
			return nil
		}
		if d.Name() != "go.mod" {
			return nil
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil
		}
		module := modfile.ModulePath(b)
		if _, ok := modules[module]; module != "" && !ok {
			modules[module] = filepath.ToSlash(filepath.Dir(rel))
		}
		return nil
	})
	return modules
}

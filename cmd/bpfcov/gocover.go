package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bpfcov/bpfcov/vm"
	"github.com/bpfcov/bpfcov/vm/guest"
)

// goProfile makes one cover profile of what Go programs built with -cover left in the guests' GOCOVERDIR, of all cells and tests
// together, with the go command of this machine. It returns "" when they left nothing.
func goProfile(ctx context.Context, out string) (path string, err error) {
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
	path = filepath.Join(out, "go-cover.txt")
	cmd := exec.CommandContext(ctx, "go", "tool", "covdata", "textfmt", "-i="+strings.Join(dirs, ","), "-o="+path)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Run(); err != nil {
		os.Remove(path)
		return "", fmt.Errorf("go tool covdata textfmt: %w: %s", err, strings.TrimSpace(text.String()))
	}
	return path, nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/internal/scaffold"
)

func newInit() *cobra.Command {
	var force, noWorkflow bool
	cmd := &cobra.Command{
		Use:   "init [flags] [DIR]",
		Short: "Write a bpfcov.yaml and a workflow for a project",
		Long: `Write a bpfcov.yaml and a workflow for a project, from how it builds its BPF objects: go:generate lines with
bpf2go, Cargo.toml with libbpf-cargo, CMakeLists.txt, or a Makefile. It reads the project and runs nothing. What it could
not find out is said, and marked TO DO in the file.`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return runInit(cmd.OutOrStdout(), dir, force, noWorkflow)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace files that are there")
	cmd.Flags().BoolVar(&noWorkflow, "no-workflow", false, "do not write .github/workflows/bpfcov.yml")
	return cmd
}

func runInit(stdout io.Writer, dir string, force, noWorkflow bool) error {
	p, err := scaffold.Detect(os.DirFS(dir))
	if errors.Is(err, scaffold.ErrUnknown) {
		return usagef("%s: %w; write a %s by hand, see docs/config.md", dir, err, config.FileName)
	}
	if err != nil {
		return usagef("%w", err)
	}
	text := p.Config()
	if _, err := config.Parse([]byte(text)); err != nil {
		return fmt.Errorf("what was found does not make a configuration: %w", err)
	}
	files := [][2]string{{config.FileName, text}}
	if !noWorkflow {
		files = append(files, [2]string{".github/workflows/bpfcov.yml", p.Workflow()})
	}
	if !force {
		for _, f := range files {
			if _, err := os.Lstat(filepath.Join(dir, f[0])); !errors.Is(err, fs.ErrNotExist) {
				return usagef("%s is there already; --force replaces it", filepath.Join(dir, f[0]))
			}
		}
	}
	for _, f := range p.Found {
		fmt.Fprintln(stdout, "found:", f)
	}
	for _, f := range files {
		path := filepath.Join(dir, f[0])
		if err := writeTo(stdout, path, func(w io.Writer) error { _, err := io.WriteString(w, f[1]); return err }); err != nil {
			return err
		}
		fmt.Fprintln(stdout, "written:", path)
	}
	for _, m := range p.Missing {
		fmt.Fprintln(stdout, "TO DO:", m)
	}
	fmt.Fprintln(stdout, "next: bpfcov doctor, then bpfcov run")
	return nil
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/vm/kernels"
	"github.com/bpfcov/bpfcov/vm/matrix"
)

func lockPath(c *config.Config) string { return filepath.Join(c.Dir, kernels.LockName) }

// readLock reads the lock file beside the configuration, nil when there is none or newer kernels are wanted.
func readLock(c *config.Config, refresh bool) (*kernels.Lock, error) {
	lock, err := kernels.ReadLock(lockPath(c))
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	if lock != nil && refresh {
		warn("--refresh: %s is not used; to change it: bpfcov kernels update", kernels.LockName)
		return nil, nil
	}
	return lock, nil
}

func newKernelsUpdate() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Look for newer kernels and pin those of the matrix in " + kernels.LockName,
		Long: `Look for newer kernels and pin those of the matrix in ` + kernels.LockName + `.

The file stands beside the configuration file and belongs into version control. As long as it is there, bpfcov run
boots these kernels and no others: the same release, the same package and an image with the same SHA-256. A
spec that it does not name is free. Remove the file to unpin.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.config == "" {
				f.config = config.FileName
			}
			c, err := loadConfig(f, nil)
			if err != nil {
				return err
			}
			points, err := matrix.Expand(c.Matrix)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			old, err := kernels.ReadLock(lockPath(c))
			if err != nil {
				warn("%v", err)
			}
			store := newStore(true)
			lock := &kernels.Lock{Version: 1}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "SPEC\tARCH\tRELEASE\tBEFORE")
			for _, p := range points {
				specs, err := store.Expand(cmd.Context(), p.Spec, p.Arch)
				if err != nil {
					return err
				}
				if len(specs) != 1 || specs[0] != p.Spec {
					lock.Expanded = append(lock.Expanded, kernels.Expanded{Spec: p.Spec, Arch: p.Arch, Specs: specs})
				}
				for _, spec := range specs {
					k, err := store.Pull(cmd.Context(), spec, p.Arch)
					if err != nil {
						return err
					}
					if err := lock.Add(k); err != nil {
						return err
					}
					before := "-"
					if e := old.Find(k.Spec, k.Arch); e != nil {
						before = e.Release
					}
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", k.Spec, k.Arch, k.Release, before)
				}
			}
			if err := lock.Write(lockPath(c)); err != nil {
				return err
			}
			if err := t.Flush(); err != nil {
				return err
			}
			fmt.Fprintln(os.Stderr, "written: "+relative(lockPath(c)))
			return nil
		},
	}
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration `FILE` (default "+config.FileName+")")
	return cmd
}

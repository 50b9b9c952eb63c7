package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/matrix"
)

// maxGitHubJobs is how many jobs a matrix of GitHub Actions may have.
const maxGitHubJobs = 256

// shardFlags say which part of the matrix runs here.
type shardFlags struct {
	shard string
	costs []string
}

func (f *shardFlags) addCosts(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.costs, "costs", nil, "`COVDATA` of an earlier run, by whose times shards are balanced; the same for all shards")
}

func (f *shardFlags) readCosts() (matrix.Costs, error) {
	if len(f.costs) == 0 {
		return nil, nil
	}
	data, err := collect.ReadDir(covdataFolders(f.costs)...)
	if err != nil {
		return nil, fmt.Errorf("--costs: %w", err)
	}
	return matrix.CostsOf(data.Records), nil
}

// part returns the points that run here.
func (f *shardFlags) part(points []matrix.Point) ([]matrix.Point, error) {
	if f.shard == "" {
		return points, nil
	}
	var s matrix.Shard
	var err error
	if f.shard == "auto" {
		var from string
		if s, from, err = matrix.ShardFromEnv(os.Getenv); err == nil && from == "" {
			warn("--shard auto: the environment names no shard, so this is the whole matrix")
			return points, nil
		}
	} else {
		s, err = matrix.ParseShard(f.shard)
	}
	if err != nil {
		return nil, usagef("--shard: %w", err)
	}
	costs, err := f.readCosts()
	if err != nil {
		return nil, err
	}
	part := matrix.Split(points, s.N, costs)[s.K-1]
	warn("shard %s: %d of %d cells", s, len(part), len(points))
	return part, nil
}

func newMatrix() *cobra.Command {
	var f runFlags
	var format string
	var shards int
	cmd := &cobra.Command{
		Use:   "matrix [flags]",
		Short: "List the cells of the configuration, for people or as a CI system's job matrix",
		Long: `List the cells of the configuration, for people or as a CI system's job matrix.

--format github prints one line of JSON for strategy.matrix: a job for each cell with "kernel", "arch" and "name" or,
with --shards N, a job for each shard with "shard" (K/N) for bpfcov run --shard.`,
		Example: `  bpfcov matrix
  echo "matrix=$(bpfcov matrix --format github)" >>"$GITHUB_OUTPUT"
  bpfcov matrix --format github --shards 4 --costs last/covdata`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runMatrix(cmd.OutOrStdout(), f, format, shards)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", "", "configuration `FILE` (default bpfcov.yaml)")
	flags.Var((*specList)(&f.kernels), "kernel", "kernel `SPEC`; repeatable or separated by commas; replaces the configuration's")
	flags.StringSliceVar(&f.arch, "arch", nil, "`GOARCH` of the guests; repeatable or separated by commas")
	flags.StringVar(&format, "format", "text", "`FORMAT`: text, json or github")
	flags.IntVar(&shards, "shards", 0, "divide the matrix into `N` parts")
	f.shards.addCosts(flags)
	return cmd
}

// matrixJob is one job of a CI system.
type matrixJob struct {
	Kernel string `json:"kernel,omitempty"`
	Arch   string `json:"arch,omitempty"`
	Shard  string `json:"shard,omitempty"`
	Name   string `json:"name"`
	// Seconds is the cost, when --costs tells.
	Seconds float64 `json:"seconds,omitempty"`
}

func runMatrix(stdout io.Writer, f runFlags, format string, shards int) error {
	if format != "text" && format != "json" && format != "github" {
		return usagef("--format %s: want text, json or github", format)
	}
	var command []string
	if len(f.kernels) > 0 {
		command = []string{"true"} // without a configuration there may be a matrix
	}
	c, err := loadConfig(f, command)
	if err != nil {
		return err
	}
	points, err := matrix.Expand(c.Matrix)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	costs, err := f.shards.readCosts()
	if err != nil {
		return err
	}
	var jobs []matrixJob
	switch {
	case shards < 0 || shards > maxGitHubJobs:
		return usagef("--shards %d: want 1 to %d", shards, maxGitHubJobs)
	case shards > 0:
		for k, part := range matrix.Split(points, shards, costs) {
			j := matrixJob{Shard: fmt.Sprintf("%d/%d", k+1, shards), Name: fmt.Sprintf("shard %d of %d", k+1, shards)}
			for _, p := range part {
				j.Seconds += costs[p].Seconds()
			}
			jobs = append(jobs, j)
		}
	default:
		for _, p := range points {
			jobs = append(jobs, matrixJob{Kernel: p.Spec, Arch: p.Arch, Name: p.Spec + " " + p.Arch, Seconds: costs[p].Seconds()})
		}
	}
	if format == "github" && len(jobs) > maxGitHubJobs {
		return usagef("the matrix has %d cells, and GitHub allows %d jobs; use --shards N and bpfcov run --shard", len(jobs), maxGitHubJobs)
	}
	switch format {
	case "github":
		return json.NewEncoder(stdout).Encode(map[string]any{"include": jobs})
	case "json":
		return writeJSON(stdout, jobs)
	}
	t := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, j := range jobs {
		fmt.Fprintf(t, "%s\t%s", j.Shard+j.Kernel, j.Arch)
		if costs != nil {
			fmt.Fprintf(t, "\t%.1f s", j.Seconds)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

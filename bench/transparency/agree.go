package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/verify"
	"github.com/bpfcov/bpfcov/verify/cells"
	"github.com/bpfcov/bpfcov/vm/kernels"
	"github.com/bpfcov/bpfcov/vm/matrix"
)

// agree loads all plain objects by bpfcov and by the veristat of the source tree on the running kernel, lists where they differ, and loads
// them on o.kernels, in guests that boot and in guests that are resumed.
func (c *corpus) agree(ctx context.Context, o options, clang string, w io.Writer) error {
	objs, err := c.compile(ctx, o, clang, "plain", c.sources)
	if err != nil {
		return err
	}
	binary, err := c.veristat(ctx, o)
	if err != nil {
		return err
	}
	start := time.Now()
	theirs, err := runVeristat(ctx, binary, objs.inputs)
	if err != nil {
		return err
	}
	took := time.Since(start)
	start = time.Now()
	ours, err := verify.Host(ctx, objs.inputs, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n### %d objects by clang %s, Linux %s\n\nveristat %.1f s, bpfcov verify %.1f s\n\n", len(objs.inputs), clang, ours.Kernel.Release,
		took.Seconds(), time.Since(start).Seconds())
	compareVerdicts(w, theirs, ours, func(k key) string { return whyNot(ctx, binary, objs.inputs, k) })
	if len(o.kernels) == 0 {
		return nil
	}
	return c.guests(ctx, o, objs.inputs, w)
}

// veristat builds veristat and the libbpf of the source tree.
func (c *corpus) veristat(ctx context.Context, o options) (string, error) {
	dir := filepath.Join(o.work, "veristat-"+filepath.Base(c.tree))
	binary := filepath.Join(dir, "veristat")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	progress("building veristat of %s", c.tree)
	script := `set -e
mkdir -p "$DIR/libbpf"
make -s -C "$TREE/tools/lib/bpf" OUTPUT="$DIR/libbpf/" "$DIR/libbpf/libbpf.a"
cc -O2 -w -I"$TREE/tools/include" -I"$TREE/tools/include/uapi" -I"$TREE/tools/lib" -o "$DIR/veristat.tmp" "$TREE/tools/testing/selftests/bpf/veristat.c" "$DIR/libbpf/libbpf.a" -lelf -lz
mv "$DIR/veristat.tmp" "$DIR/veristat"`
	return binary, command(ctx, o.work, []string{"TREE=" + c.tree, "DIR=" + dir}, "sh", "-c", script)
}

// stat is what veristat says about a program.
type stat struct {
	ok    bool
	insns int
}

func runVeristat(ctx context.Context, binary string, inputs []verify.Input) (map[key]stat, error) {
	args := []string{"-o", "csv", "-e", "file,prog,verdict,insns"}
	for _, in := range inputs {
		args = append(args, in.Path)
	}
	out, err := exec.CommandContext(ctx, binary, args...).Output()
	if err != nil && len(out) == 0 {
		return nil, fmt.Errorf("veristat: %w", err)
	}
	r := csv.NewReader(strings.NewReader(string(out)))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("veristat: %w", err)
	}
	all := map[key]stat{}
	for _, row := range rows {
		if len(row) != 4 || row[0] == "file_name" {
			continue
		}
		n, _ := strconv.Atoi(row[3])
		all[key{row[0], row[1]}] = stat{row[2] == "success", n}
	}
	return all, nil
}

// notices are lines of libbpf that do not say why something failed.
var notices = regexp.MustCompile(`^libbpf: (elf: skipping|loading|.* is deprecated|prog '[^']*': (failed to load|-- ))|-- (BEGIN|END) PROG LOAD LOG`)

// whyNot asks libbpf why it does not load a program.
func whyNot(ctx context.Context, binary string, inputs []verify.Input, k key) string {
	i := slices.IndexFunc(inputs, func(in verify.Input) bool { return in.Name == k.file })
	if i < 0 {
		return ""
	}
	out, _ := exec.CommandContext(ctx, binary, "-v", "-f", k.file+"/"+k.prog, inputs[i].Path).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "libbpf: ") && !notices.MatchString(line) {
			return strings.TrimPrefix(line, "libbpf: ")
		}
	}
	return "libbpf does not say"
}

// compareVerdicts prints the agreement, and each difference with what is known of its cause.
func compareVerdicts(w io.Writer, theirs map[key]stat, ours *verify.Cell, whyNot func(key) string) {
	mine, unread := map[key]verify.Result{}, map[string]string{}
	for _, r := range ours.Results {
		if r.Program == "" {
			unread[r.File] = r.Reason
		} else {
			mine[key{r.File, r.Program}] = r
		}
	}
	var n struct{ both, same, loaded, insns, refused, skipped int }
	var rows [][3]string
	for _, k := range slices.SortedFunc(maps.Keys(theirs), func(a, b key) int { return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.prog, b.prog)) }) {
		v := theirs[k]
		r, ok := mine[k]
		name := k.file + "/" + k.prog
		if !ok {
			if v.ok {
				rows = append(rows, [3]string{"loads with veristat, object not read here", name, unread[k.file]})
			}
			continue
		}
		n.both++
		here := r.Verdict == verify.OK
		if here == v.ok {
			n.same++
		}
		switch {
		case r.Verdict == verify.Skipped && v.ok:
			rows = append(rows, [3]string{"loads with veristat, skipped here", name, r.Reason})
		case r.Verdict == verify.Skipped:
			n.skipped++
		case here && v.ok:
			n.loaded++
			if r.Insns == v.insns {
				n.insns++
			} else {
				rows = append(rows, [3]string{"other number of insns", name, fmt.Sprintf("veristat %d, here %d", v.insns, r.Insns)})
			}
		case here:
			why := "veristat: " + whyNot(k)
			if r.Guess != "" {
				why += "; here: " + r.Guess
			}
			rows = append(rows, [3]string{"loads here, not with veristat", name, why})
		case v.ok:
			rows = append(rows, [3]string{"loads with veristat, not here", name, string(r.Class) + ": " + r.Reason})
		default:
			n.refused++
		}
	}
	fmt.Fprintf(w, "| | programs |\n|---|--:|\n| known to both | %d |\n| same verdict | %d |\n| loaded by both | %d |\n| of these, same number of instructions | %d |\n"+
		"| refused by both | %d |\n| refused there, skipped here | %d |\n", n.both, n.same, n.loaded, n.insns, n.refused, n.skipped)
	fmt.Fprintf(w, "\n%d differences:\n\n| what | program | why |\n|---|---|---|\n", len(rows))
	slices.SortStableFunc(rows, func(a, b [3]string) int { return cmp.Compare(a[0], b[0]) })
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %s | %s |\n", r[0], r[1], strings.ReplaceAll(r[2], "|", "\\|"))
	}
}

// guests loads everything on each kernel, cold and warm.
func (c *corpus) guests(ctx context.Context, o options, inputs []verify.Input, w io.Writer) error {
	points, err := matrix.Expand(config.Matrix{Kernels: o.kernels, Arch: []string{o.arch}})
	if err != nil {
		return err
	}
	boot := func(warm bool, inputs []verify.Input, jobs int) ([]verify.Cell, time.Duration, error) {
		r := &cells.Runner{
			Points: points, Inputs: func(string) ([]verify.Input, error) { return inputs, nil }, LogSize: 4 << 10, Store: &kernels.Store{Log: progress},
			Out: filepath.Join(o.work, "cells", "agree"), Jobs: jobs, Timeout: 2 * time.Hour, ProgramTimeout: o.limit, MemoryMiB: 4096, Warm: &warm, Progress: progress,
		}
		start := time.Now()
		list, err := r.Run(ctx)
		return list, time.Since(start), err
	}
	progress("kernels are fetched and guests saved")
	if _, _, err := boot(true, inputs[:1], 1); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n### Guests, %d at once, %v for each program at most\n\n| kernel | guest | up after | all programs | loaded | refused | timed out | skipped |\n|---|---|--:|--:|--:|--:|--:|--:|\n", o.jobs, o.limit)
	for _, warm := range []bool{false, true} {
		list, took, err := boot(warm, inputs, o.jobs)
		if err != nil {
			return err
		}
		how := map[bool]string{false: "cold", true: "warm"}[warm]
		for _, cell := range list {
			if cell.Error != "" {
				fmt.Fprintf(w, "| %s | %s | %s |\n", cell.Name, how, cell.Error)
			}
			count := map[string]int{}
			for _, r := range cell.Results {
				what := string(r.Verdict)
				if r.Class == verify.ClassHarness && strings.HasPrefix(r.Reason, "timed out") {
					what = "timed out"
					progress("%s %s: %s/%s: %s", cell.Name, how, r.File, r.Program, r.Reason)
				}
				count[what]++
			}
			fmt.Fprintf(w, "| %s | %s | %.1f s | %.0f s | %d | %d | %d | %d |\n", cell.Name, how, cell.Boot.Seconds(), cell.Took.Seconds(),
				count["ok"], count["failed"], count["timed out"], count["skipped"])
		}
		fmt.Fprintf(w, "| all | %s | | %.0f s | | | | |\n", how, took.Seconds())
	}
	return nil
}

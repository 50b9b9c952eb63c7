package matrix

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/vm/kernels"
)

// notRunPrefix begins the reason of a run that --fail-fast left out.
const notRunPrefix = "not run: "

// ErrNoEarlierRun means that --rerun-failed has nothing to look at.
var ErrNoEarlierRun = errors.New("there are no results of an earlier run to take the failed cells from; run without --rerun-failed first")

// keepPassed reads the results of the last run into Out and takes those of cells in which nothing failed: they are
// not run again. It returns what the cells of r.Points keep, nil for those to run.
func (r *Runner) keepPassed() (kept [][]collect.Record, err error) {
	o := collect.ReadOptions{Damaged: func(_ string, err error) { r.progress("left out: %v", err) }} // so its cell is run again
	data, err := o.ReadDir(filepath.Join(r.Out, "covdata"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(data.Records) == 0 {
		return nil, fmt.Errorf("%s: %w", r.Out, ErrNoEarlierRun)
	} else if err != nil {
		return nil, err
	}
	kept = make([][]collect.Record, len(r.Points))
	for i, p := range r.Points {
		kept[i] = r.passed(p, data.Records)
		for _, rec := range kept[i] {
			for _, o := range rec.Objects {
				if m := data.Metas[o.ObjectID]; m != nil {
					r.keptMetas = append(r.keptMetas, m)
				}
			}
		}
	}
	return kept, nil
}

// passed returns the records of a point when all its tests passed or were skipped, else nil.
func (r *Runner) passed(p Point, records []collect.Record) []collect.Record {
	spec, err := kernels.ParseSpec(p.Spec)
	if err != nil {
		return nil
	}
	var out []collect.Record
	seen := map[string]bool{}
	for _, rec := range records {
		run := &rec.Run
		if run.Cell.Spec != spec && run.Cell.Spec != p.Spec || run.Cell.Arch != p.Arch {
			continue
		}
		if run.Outcome != collect.Passed && run.Outcome != collect.Skipped || strings.HasPrefix(run.Reason, notRunPrefix) {
			return nil
		}
		seen[run.Test] = true
		out = append(out, rec)
	}
	for _, t := range r.Config.Tests {
		if !seen[t.Name] {
			return nil
		}
	}
	return slices.Clip(out)
}

// writeKept writes the records of the cells that are not run.
func (r *Runner) writeKept(res *Result) error {
	for _, m := range r.keptMetas {
		if err := collect.WriteMeta(res.Covdata, m); err != nil {
			return err
		}
	}
	for i := range res.Cells {
		for j := range res.Cells[i].Kept {
			if _, err := collect.WriteRecord(res.Covdata, &res.Cells[i].Kept[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

package matrix

import (
	"errors"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// notTried are the records of a cell whose tests could not be started.
func (r *Runner) notTried(c *Cell) []collect.Record {
	cell := collect.Cell{Kernel: c.Point.Spec, Arch: c.Point.Arch, LLVM: r.LLVM, Spec: c.Point.Spec}
	if c.Kernel != nil {
		cell.Kernel = c.Kernel.Release
	}
	var recs []collect.Record
	for _, t := range r.Config.Tests {
		recs = append(recs, collect.Record{Run: collect.Run{
			ID: collect.NewRunID(), Cell: cell, Test: t.Name, Command: t.Command,
			Outcome: collect.BootFailed, Reason: c.Err.Error(),
		}})
		if errors.Is(c.Err, ErrNotRun) {
			recs[len(recs)-1].Run.Outcome = collect.Skipped
		}
	}
	return recs
}

// save writes a cell's records as soon as the cell has ended, so that a later failure loses nothing.
func (r *Runner) save(res *Result, c *Cell, recs []collect.Record) error {
	dirs := []string{r.main(c.Point.Arch).metaDir()}
	if dir, err := meta.DefaultDir(); err == nil {
		dirs = append(dirs, dir) // a build that had nothing to do wrote its sidecars there before
	}
	_, err := collect.Save(res.Covdata, recs, dirs...)
	var missing *collect.MissingMetaError
	if errors.As(err, &missing) {
		if len(recs) > 0 && !recs[0].Run.Partial {
			r.progress("%s: %v", c.Name, err)
		}
		return nil
	}
	return err
}

// partial returns a function that writes what is known of a cell's run while it goes on, so that a bpfcov that is killed
// loses at most a second. What cannot be written is said once; the end of the cell is where that is an error.
func (r *Runner) partial(res *Result, c *Cell) func(*collect.Record) {
	said := false
	return func(rec *collect.Record) {
		if err := r.save(res, c, []collect.Record{*rec}); err != nil && !said {
			said = true
			r.progress("%s: counters are not on disk yet: %v", c.Name, err)
		}
	}
}

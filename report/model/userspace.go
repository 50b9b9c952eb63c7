package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
)

// userSpace adds the files of programs in user space: in a cell their lines are hit or missed, not run where nothing of
// user space came back, and not built where other files did.
func (b *builder) userSpace() {
	type key struct {
		name     string
		language collect.Language
	}
	type lines struct {
		numbers []int
		counts  []map[int]uint64 // of each cell, nil for a file that it does not have
	}
	all := map[key]*lines{}
	for i := range b.data {
		for k := range b.data[i].UserSpace {
			f := &b.data[i].UserSpace[k]
			at := key{f.Name, f.Language}
			if b.options.Ignore != nil && b.options.Ignore.MatchString(f.Name) {
				continue
			}
			if all[at] == nil {
				all[at] = &lines{counts: make([]map[int]uint64, len(b.data))}
			}
			numbers, counts := f.Lines()
			all[at].numbers = append(all[at].numbers, numbers...)
			all[at].counts[i] = counts
		}
	}
	for at, l := range all {
		slices.Sort(l.numbers)
		f := File{Name: at.name, Language: at.language}
		for _, n := range slices.Compact(l.numbers) {
			line := Line{Number: n, Cells: make([]State, len(b.data))}
			for i := range b.data {
				count, known := l.counts[i][n]
				switch {
				case len(b.data[i].UserSpace) == 0:
				case !known:
					line.Cells[i].Status = NotBuilt
				case count == 0:
					line.Cells[i].Status = Missed
				default:
					line.Cells[i] = State{Status: Hit, Count: count}
				}
			}
			f.Lines = append(f.Lines, line)
		}
		b.report.Files = append(b.report.Files, f)
	}
	slices.SortFunc(b.report.Files, func(x, y File) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(string(x.Language), string(y.Language)))
	})
}

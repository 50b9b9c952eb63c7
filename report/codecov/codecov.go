// Package codecov writes what Codecov takes: a coverage file for each kernel, the flags for codecov.yml,
// and the command that uploads each file under its flag.
//
// The file of a cell is an lcov tracefile unless [Options].JSON asks for Codecov's own JSON. Codecov merges
// uploads of one commit line by line; of a line with conditions it keeps which sides are missing in
// every upload, by the number of the condition and side. The tracefiles of all cells of a report number
// them alike, so a line of which each kernel runs the other side ends up whole. Its own JSON has no
// such numbers ("1/2" and "1/2" stay "1/2"): use it where a viewer of one kernel is wanted.
//
// Source: Codecov's documentation ("Custom coverage format", "Flags", "Carryforward flags") and the
// parsers of its worker (lcov, custom JSON).
package codecov

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/bpfcov/bpfcov/internal/shellword"
	"github.com/bpfcov/bpfcov/report/model"
)

// MaxUploads is how many uploads Codecov takes for one commit, carried-forward ones not counted.
const MaxUploads = 150

// maxFlag is the length that all of Codecov's parts take.
const maxFlag = 45

// Flag is the flag of a cell: its name with "linux-" before it, if that is not too long.
func Flag(cell string) string {
	if f := "linux-" + cell; len(f) <= maxFlag {
		return f
	}
	return cell
}

// Upload is one file for Codecov.
type Upload struct {
	Column model.Column `json:"-"`
	// File is the name of the file, which Codecov's own search finds too.
	File string `json:"file"`
	// Flag is the Codecov flag, empty for the file of all cells.
	Flag string `json:"flag"`
	// Name is what Codecov lists the upload as.
	Name string `json:"name"`
}

// Uploads lists the files for a report: one for each cell that ran. When these are more than Codecov takes, it is
// one file for all cells, without a flag.
func Uploads(r *model.Report, asJSON bool) []Upload {
	ext := ".lcov"
	if asJSON {
		ext = ".codecov.json"
	}
	columns := r.Columns()
	if len(columns)-1 > MaxUploads {
		return []Upload{{Column: model.Merged, File: "merged" + ext, Name: "merged"}}
	}
	var us []Upload
	for _, c := range columns {
		if c == model.Merged {
			continue
		}
		name := r.ColumnName(c)
		us = append(us, Upload{Column: c, File: name + ext, Flag: Flag(name), Name: name})
	}
	return us
}

// Options vary [Write].
type Options struct {
	JSON bool // Codecov's own JSON instead of lcov
}

// Write writes the file of one column.
func Write(w io.Writer, r *model.Report, column model.Column, o Options) error {
	if !o.JSON {
		return r.WriteLCOV(w, column)
	}
	return writeJSON(w, r, column)
}

// writeJSON writes {"coverage": {"path": {"12": 3, "13": "1/2"}}}. A line with conditions has a fraction unless all of
// its sides ran or none did.
func writeJSON(w io.Writer, r *model.Report, column model.Column) error {
	b := bufio.NewWriter(w)
	b.WriteString(`{"coverage": {`)
	for k := range r.Files {
		f := &r.Files[k]
		if k > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(b, "\n%s: {", quote(f.Name))
		sides := map[int]model.Ratio{}
		f.LineBranches(func(line, first, end int) {
			var x model.Ratio
			for i := first; i < end; i++ {
				s := column.Branch(f.Branches[i].Cells)
				for _, side := range [2]model.State{s.True, s.False} {
					if side.Status.Counted() {
						x.Total++
						if side.Status == model.Hit {
							x.Hit++
						}
					}
				}
			}
			sides[line] = x
		})
		comma := ""
		for n := range f.Lines {
			s := column.State(f.Lines[n].Cells)
			if !s.Status.Counted() {
				continue
			}
			number := f.Lines[n].Number
			value := strconv.FormatUint(min(s.Count, math.MaxInt64), 10)
			if x := sides[number]; s.Status == model.Hit && x.Hit < x.Total {
				value = fmt.Sprintf(`"%d/%d"`, x.Hit, x.Total)
			}
			fmt.Fprintf(b, "%s\"%d\": %s", comma, number, value)
			comma = ", "
		}
		b.WriteString("}")
	}
	b.WriteString("\n}}\n")
	return b.Flush()
}

// WriteYAML writes the part of codecov.yml that keeps the last result of a kernel which a commit did
// not run. It is the same for all commits of one matrix.
func WriteYAML(w io.Writer, uploads []Upload) error {
	b := bufio.NewWriter(w)
	b.WriteString("# One flag for each kernel and architecture. A kernel that a commit does not run keeps its last result.\nflags:\n")
	n := 0
	for _, u := range uploads {
		if u.Flag != "" {
			n++
			fmt.Fprintf(b, "  %s:\n    carryforward: true\n", u.Flag)
		}
	}
	if n == 0 {
		b.Reset(w)
		b.WriteString("# No flags: all kernels are one upload.\n")
	}
	return b.Flush()
}

// Command is the call of Codecov's command line tool that uploads u, whose file is in dir.
func (u Upload) Command(dir string) []string {
	args := []string{"codecovcli", "upload-process", "--disable-search", "-f", dir + "/" + u.File, "-n", u.Name}
	if u.Flag != "" {
		args = append(args, "-F", u.Flag)
	}
	return args
}

// WriteScript writes a POSIX shell script with the command of each upload.
func WriteScript(w io.Writer, dir string, uploads []Upload) error {
	b := bufio.NewWriter(w)
	b.WriteString("#!/bin/sh\n# Uploads each kernel's coverage under its flag. CODECOV_TOKEN is read by codecovcli.\nset -e\n")
	for _, u := range uploads {
		words := u.Command(dir)
		for i := range words {
			words[i] = shellword.Quote(words[i])
		}
		b.WriteString(strings.Join(words, " ") + "\n")
	}
	return b.Flush()
}

// quote is s as a JSON string.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""` // not for strings
	}
	return string(b)
}

// WriteList writes the uploads as a JSON list, for actions that loop over it.
func WriteList(w io.Writer, uploads []Upload) error {
	if uploads == nil {
		uploads = []Upload{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(uploads)
}

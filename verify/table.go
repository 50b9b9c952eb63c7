package verify

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Table writes results with the given columns as text.
func Table(w io.Writer, list []Result, cols []Column) error {
	rows := make([][]string, 0, len(list)+1)
	head := make([]string, len(cols))
	for i, c := range cols {
		head[i] = c.Title
	}
	rows = append(rows, head)
	for i := range list {
		row := make([]string, len(cols))
		for j, c := range cols {
			if row[j] = c.Text(&list[i]); row[j] == "" {
				row[j] = "-"
			}
			if c.Numeric() && list[i].Verdict == Skipped {
				row[j] = "-"
			}
		}
		rows = append(rows, row)
	}
	return aligned(w, rows, func(i int) bool { return cols[i].Numeric() })
}

// aligned writes rows in columns; right tells which are aligned to the right. A line stands below the head.
func aligned(w io.Writer, rows [][]string, right func(int) bool) error {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for n, r := range rows {
		var b strings.Builder
		for i, c := range r {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if right(i) {
				b.WriteString(pad + c)
			} else {
				b.WriteString(c + pad)
			}
			if i < len(r)-1 {
				b.WriteString("  ")
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
		if n == 0 {
			for i := range width {
				width[i] = max(width[i], 1)
			}
			dashes := make([]string, len(width))
			for i, n := range width {
				dashes[i] = strings.Repeat("-", n)
			}
			if _, err := fmt.Fprintln(w, strings.Join(dashes, "  ")); err != nil {
				return err
			}
		}
	}
	return nil
}

// CSV writes results as veristat does, so that its replay (-R) and comparison (-C) modes read them. Skipped programs
// are left out, as veristat has no word for them.
func CSV(w io.Writer, list []Result, cols []Column) error {
	cw := csv.NewWriter(w)
	head := make([]string, len(cols))
	for i, c := range cols {
		head[i] = c.Name
	}
	if err := cw.Write(head); err != nil {
		return err
	}
	for i := range list {
		r := &list[i]
		if r.Verdict == Skipped || r.Program == "" {
			continue
		}
		row := make([]string, len(cols))
		for j, c := range cols {
			row[j] = strings.ReplaceAll(c.Text(r), ",", ";") // veristat splits at commas and knows no quotes
		}
		if err := cw.Write(row); err != nil {
			return err
		}
	}
	cw.Flush()
	return cw.Error()
}

// key is a program of an object, over all cells.
type key struct{ file, prog string }

func (k key) String() string {
	if k.prog == "" {
		return k.file
	}
	return k.file + "/" + k.prog
}

// programs lists the programs of all cells in the order in which they come, and each cell's results by program.
func programs(run *Run, keep func(*Result) bool) (order []key, at []map[key]*Result) {
	seen := map[key]bool{}
	at = make([]map[key]*Result, len(run.Cells))
	for i := range run.Cells {
		at[i] = map[key]*Result{}
		for j := range run.Cells[i].Results {
			r := &run.Cells[i].Results[j]
			k := key{r.File, r.Program}
			at[i][k] = r
			if !seen[k] && keep(r) {
				seen[k] = true
				order = append(order, k)
			}
		}
	}
	return order, at
}

// MatrixTable writes a table of programs by cells: "ok" with the number of verified instructions, the class of the failure, or
// "skipped". keep chooses the programs by the results of which one has to be wanted.
func MatrixTable(w io.Writer, run *Run, keep func(*Result) bool) error {
	order, at := programs(run, keep)
	head := []string{"program"}
	for _, c := range run.Cells {
		head = append(head, c.Name)
	}
	rows := [][]string{head}
	for _, k := range order {
		row := []string{k.String()}
		for i := range run.Cells {
			row = append(row, cellText(at[i][k]))
		}
		rows = append(rows, row)
	}
	total := []string{"loaded"}
	for _, c := range run.Cells {
		ok, n := 0, 0
		for i := range c.Results {
			switch c.Results[i].Verdict {
			case OK:
				ok++
				n++
			case Failed:
				n++
			}
		}
		total = append(total, fmt.Sprintf("%d of %d", ok, n))
	}
	rows = append(rows, total)
	return aligned(w, rows, func(int) bool { return false })
}

func cellText(r *Result) string {
	switch {
	case r == nil:
		return "-"
	case r.Verdict == OK && r.Insns > 0:
		return "ok " + strconv.Itoa(r.Insns)
	case r.Verdict == OK:
		return "ok"
	case r.Verdict == Skipped:
		return "skipped"
	}
	return string(r.Class)
}

// Reasons writes why programs did not load, a paragraph for each cause, with the cells in which it is the same.
func Reasons(w io.Writer, run *Run, keep func(*Result) bool) error {
	order, at := programs(run, keep)
	for _, k := range order {
		type cause struct {
			r     *Result
			cells []string
		}
		var causes []*cause
		for i := range run.Cells {
			r := at[i][k]
			if r == nil || r.Verdict == OK || !keep(r) {
				continue
			}
			var c *cause
			for _, x := range causes {
				if x.r.Class == r.Class && x.r.Reason == r.Reason && x.r.Errno == r.Errno {
					c = x
				}
			}
			if c == nil {
				c = &cause{r: r}
				causes = append(causes, c)
			}
			c.cells = append(c.cells, run.Cells[i].Name)
		}
		for _, c := range causes {
			what := string(c.r.Class)
			if c.r.Verdict == Skipped {
				what = "skipped"
			} else if c.r.Errno != "" {
				what += ", " + c.r.Errno
			}
			if _, err := fmt.Fprintf(w, "%s on %s: %s: %s\n", k, strings.Join(c.cells, ", "), what, c.r.Reason); err != nil {
				return err
			}
			for _, l := range c.r.Lines {
				if l == c.r.Reason {
					continue
				}
				if _, err := fmt.Fprintf(w, "    %s\n", l); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

package verify

import (
	"fmt"
	"io"
	"strings"
)

// changeRows are the rows of a comparison, without programs that are the same, at most most of them.
func (d *Diff) changeRows(most int) (rows [][]string, left int) {
	insns, states := Columns()[4], Columns()[5]
	for i := range d.Changes {
		c := &d.Changes[i]
		if c.Kind == Same && len(c.Exceeds) == 0 {
			continue
		}
		if len(rows) == most {
			left++
			continue
		}
		kind := string(c.Kind)
		if len(c.Exceeds) > 0 {
			kind = "beyond " + strings.Join(c.Exceeds, ", ")
		}
		why := ""
		if c.Now != nil && c.Now.Verdict == Failed {
			why = strings.TrimSpace(string(c.Now.Class) + " " + c.Now.Errno + ": " + c.Now.Reason)
		}
		rows = append(rows, []string{c.key().String(), kind, difference(insns, c.Base, c.Now), difference(states, c.Base, c.Now), why})
	}
	return rows, left
}

// WriteDiff writes a comparison as text.
func WriteDiff(w io.Writer, diffs []Diff) error {
	for i := range diffs {
		d := &diffs[i]
		rows, _ := d.changeRows(1 << 30)
		if _, err := fmt.Fprintf(w, "%s against %s: %s\n", d.Now, d.Base, d.summary()); err != nil {
			return err
		}
		if len(rows) == 0 {
			continue
		}
		rows = append([][]string{{"program", "change", "insns", "states", "why"}}, rows...)
		if err := aligned(w, rows, func(int) bool { return false }); err != nil {
			return err
		}
	}
	return nil
}

// summary counts the changes.
func (d *Diff) summary() string {
	count := map[ChangeKind]int{}
	for i := range d.Changes {
		count[d.Changes[i].Kind]++
	}
	var parts []string
	for _, k := range []ChangeKind{NewlyFailing, NewlyLoading, Added, Removed, Changed, Same} {
		if count[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[k], k))
		}
	}
	if len(parts) == 0 {
		return "no programs"
	}
	return strings.Join(parts, ", ")
}

// markdownRows bounds a table in a comment on a pull request.
const markdownRows = 50

// WriteMarkdown writes a comparison for a pull request.
func WriteMarkdown(w io.Writer, diffs []Diff) error {
	for i := range diffs {
		d := &diffs[i]
		if _, err := fmt.Fprintf(w, "**%s** against %s: %s\n", escape(d.Now), escape(d.Base), d.summary()); err != nil {
			return err
		}
		rows, left := d.changeRows(markdownRows)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprint(w, "\n| program | change | insns | states | why |\n|---|---|---|---|---|\n")
		for _, r := range rows {
			for j := range r {
				r[j] = escape(r[j])
			}
			fmt.Fprintf(w, "| %s |\n", strings.Join(r, " | "))
		}
		if left > 0 {
			fmt.Fprintf(w, "\n%d more\n", left)
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	return nil
}

// MarkdownMatrix writes the table of [MatrixTable] as Markdown.
func MarkdownMatrix(w io.Writer, run *Run) error {
	order, at := programs(run, func(*Result) bool { return true })
	fmt.Fprint(w, "| program |")
	for _, c := range run.Cells {
		fmt.Fprintf(w, " %s |", escape(c.Name))
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---|", len(run.Cells)))
	for _, k := range order {
		fmt.Fprintf(w, "| %s |", escape(k.String()))
		for i := range run.Cells {
			fmt.Fprintf(w, " %s |", cellText(at[i][k]))
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	return nil
}

// escape keeps text from being read as Markdown or HTML.
func escape(s string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "<", "&lt;", ">", "&gt;", "&", "&amp;", "*", "\\*", "_", "\\_", "`", "'", "[", "\\[", "]", "\\]", "\n", " ").Replace(s)
}

package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// lowest returns the smallest element, the zero value when there is none. Of a machine that others use too, it is
// the most repeatable figure.
func lowest[T cmp.Ordered](s []T) T {
	var zero T
	if len(s) == 0 {
		return zero
	}
	return slices.Min(s)
}

// median returns the middle element, of an even number the mean of both.
func median[T ~int64 | ~float64](s []T) T {
	if len(s) == 0 {
		return 0
	}
	s = slices.Sorted(slices.Values(s))
	if mid := len(s) / 2; len(s)%2 == 1 {
		return s[mid]
	} else {
		return (s[mid-1] + s[mid]) / 2
	}
}

// geomean returns the geometric mean of positive numbers, 0 when there is none.
func geomean(s []float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sum := 0.0
	for _, v := range s {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(s)))
}

// ratio formats a/b, "-" when there is none.
func ratio(a, b float64) string {
	if a <= 0 || b <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fx", a/b)
}

// table is a Markdown table. Columns from the one numbered left on are aligned to the right; 0 means 1.
type table struct {
	rows [][]string
	left int
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table with a heading above it. The first row is the head.
func (t *table) write(w io.Writer, heading string) error {
	left := max(t.left, 1)
	width := make([]int, len(t.rows[0]))
	for _, r := range t.rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c), 3)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n", heading)
	for n, r := range t.rows {
		for i, c := range r {
			if i < left {
				fmt.Fprintf(&b, "| %-*s ", width[i], c)
			} else {
				fmt.Fprintf(&b, "| %*s ", width[i], c)
			}
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i, w := range width {
			if i < left {
				b.WriteString("|" + strings.Repeat("-", w+2))
			} else {
				b.WriteString("|" + strings.Repeat("-", w+1) + ":")
			}
		}
		b.WriteString("|\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

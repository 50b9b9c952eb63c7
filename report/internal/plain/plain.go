// Package plain has what the reports for people share about text.
package plain

import (
	"strings"

	"github.com/bpfcov/bpfcov/report/model"
)

// Clean drops control characters (C0, DEL and C1), by which what a guest or a build says could steer a terminal.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}

// Ranges formats pairs of first and last line as [model.FormatRanges] does.
func Ranges(pairs [][2]int) string {
	var rs []model.Range
	for _, p := range pairs {
		rs = append(rs, model.Range{First: p[0], Last: p[1]})
	}
	return model.FormatRanges(rs)
}

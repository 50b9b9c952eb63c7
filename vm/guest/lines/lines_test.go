package lines

import (
	"slices"
	"strings"
	"testing"
)

func TestSplitter(t *testing.T) {
	text := "a\r\n\n" + strings.Repeat("x", 3*Max) + "\nb"
	want := []string{"a", "", strings.Repeat("x", Max), "b"}
	for _, size := range []int{1, 7, Max - 1, Max, len(text)} {
		var s Splitter
		var got []string
		take := func(l string) { got = append(got, l) }
		for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
			s.Write([]byte(rest[:min(size, len(rest))]), take)
			if s.Len() > Max {
				t.Fatalf("pieces of %d bytes: kept %d, want at most %d", size, s.Len(), Max)
			}
		}
		s.Flush(take)
		s.Flush(take) // nothing is left
		if !slices.Equal(got, want) {
			t.Errorf("pieces of %d bytes: got %d lines, want %d", size, len(got), len(want))
		}
	}
}

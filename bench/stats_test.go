package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStats(t *testing.T) {
	for _, tt := range []struct {
		in                []float64
		low, middle, mean float64
	}{
		{nil, 0, 0, 0},
		{[]float64{4}, 4, 4, 4},
		{[]float64{8, 2}, 2, 5, 4},
		{[]float64{27, 1, 1}, 1, 1, 3},
	} {
		got := []float64{lowest(tt.in), median(tt.in), geomean(tt.in)}
		want := []float64{tt.low, tt.middle, tt.mean}
		near := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })
		if diff := cmp.Diff(want, got, near); diff != "" {
			t.Errorf("%v: minimum, median, geometric mean (-want +got):\n%s", tt.in, diff)
		}
	}
}

func TestRatio(t *testing.T) {
	for _, tt := range []struct {
		a, b float64
		want string
	}{{3, 2, "1.50x"}, {0, 2, "-"}, {2, 0, "-"}} {
		if got := ratio(tt.a, tt.b); got != tt.want {
			t.Errorf("ratio(%v, %v): got %s, want %s", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestTable(t *testing.T) {
	var tab table
	tab.row("kernel", "s")
	tab.row("6.1", "12.5")
	var b strings.Builder
	if err := tab.write(&b, "Boots"); err != nil {
		t.Fatal(err)
	}
	want := "\n### Boots\n\n| kernel |    s |\n|--------|-----:|\n| 6.1    | 12.5 |\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

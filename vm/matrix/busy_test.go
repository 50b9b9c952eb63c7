package matrix

import "testing"

func TestStretch(t *testing.T) {
	for _, tt := range []struct {
		load string
		cpus int
		want float64
	}{
		{"0.52 0.58 0.59 1/467 12345", 2, 1}, {"2.00 1 1 1/1 1", 2, 1}, {"5.00 1 1 1/1 1", 2, 2.5}, {"900 1 1 1/1 1", 2, maxStretch},
		{"", 2, 1}, {"-3", 2, 1}, {"NaN", 2, 1}, {"x", 2, 1}, {"3", 0, 3},
	} {
		if got := stretch(tt.load, tt.cpus); got != tt.want {
			t.Errorf("stretch(%q, %d): got %v, want %v", tt.load, tt.cpus, got, tt.want)
		}
	}
}

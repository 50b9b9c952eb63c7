package nearest

import "testing"

func TestMatch(t *testing.T) {
	keys := []string{"kernels", "arch", "exclude", "include"}
	for _, tt := range []struct{ word, want string }{
		{"kernel", "kernels"},
		{"kernelz", "kernels"},
		{"arches", "arch"},
		{"inclde", "include"},
		{"memory", ""},
		{"", ""},
	} {
		if got := Match(tt.word, keys); got != tt.want {
			t.Errorf("Match(%q): got %q, want %q", tt.word, got, tt.want)
		}
	}
}

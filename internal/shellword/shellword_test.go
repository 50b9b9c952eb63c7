package shellword

import (
	"os/exec"
	"testing"
)

// A shell gives back what was quoted.
func TestQuote(t *testing.T) {
	for _, s := range []string{"", "plain", "q35,accel=tcg", "a b", "it's", "$HOME", "*", "a\nb", "`id`", "é", `\`, "~", "#", "!"} {
		got, err := exec.Command("sh", "-c", `printf %s "$1"; printf %s `+Quote(s), "sh", s).Output()
		if err != nil || string(got) != s+s {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
	}
	if got := Quote("a=b"); got != "a=b" {
		t.Errorf("a plain word: got %s", got)
	}
}

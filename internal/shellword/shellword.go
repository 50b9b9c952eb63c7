// Package shellword writes words for a shell.
package shellword

import "strings"

// Quote makes one word of a POSIX shell of s, for the place of an argument. Plain words stay as they are.
func Quote(s string) string {
	special := strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_=+./,:@%", r))
	})
	if !special && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

package collect

import (
	"strconv"
	"strings"
)

// processed returns N of the line "processed N insns (limit …) …" of a verifier log, 0 if there is none.
// Nothing else is taken from log text: its wording changes from release to release.
func processed(log string) int {
	i := strings.LastIndex(log, "processed ")
	if i < 0 {
		return 0
	}
	n, rest := 0, log[i+len("processed "):]
	word, rest, _ := strings.Cut(rest, " ")
	if !strings.HasPrefix(rest, "insns") {
		return 0
	}
	n, err := strconv.Atoi(word)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// tellingLine returns the last line of a verifier log that is not statistics.
func tellingLine(log string) string {
	end := len(log)
	for end > 0 {
		start := strings.LastIndexByte(log[:end], '\n') + 1
		line := strings.TrimSpace(log[start:end])
		switch {
		case line == "", strings.HasPrefix(line, "processed "), strings.HasPrefix(line, "verification time "),
			strings.HasPrefix(line, "stack depth "), strings.HasPrefix(line, "insns processed "): // the last: 7.2
		default:
			const most = 300
			return tailOf(line, most)
		}
		end = max(start-1, 0)
	}
	return ""
}

// tailOf returns the end of s: at most n bytes, whole lines if there are several.
func tailOf(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	if i := strings.IndexByte(s, '\n'); i >= 0 && i+1 < len(s) {
		s = s[i+1:]
	}
	return s
}

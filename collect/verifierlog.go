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

// tellingLine returns the last line of a verifier log that is not statistics. Linux 7.3 explains a refusal in
// a text of its own after that line, which is the same on all kernels and stays the one to show.
func tellingLine(log string) string {
	if i := strings.LastIndex(log, "\nVerification failed: "); i >= 0 {
		if line := lastLine(log[:i]); line != "" {
			return line
		}
		line, _, _ := strings.Cut(log[i+1:], "\n")
		return tailOf(line, longestLine)
	}
	return lastLine(log)
}

// longestLine bounds what is taken for a reason.
const longestLine = 300

func lastLine(log string) string {
	end := len(log)
	for end > 0 {
		start := strings.LastIndexByte(log[:end], '\n') + 1
		line := strings.TrimSpace(log[start:end])
		switch {
		case line == "", strings.HasPrefix(line, "processed "), strings.HasPrefix(line, "verification time "),
			strings.HasPrefix(line, "stack depth "), strings.HasPrefix(line, "insns processed "), // 7.2
			strings.HasPrefix(line, "subprog "): // 7.3
		default:
			return tailOf(line, longestLine)
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

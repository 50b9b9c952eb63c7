package verify

import (
	"fmt"
	"strconv"
	"strings"
)

// parseStats reads the statistics at the end of a verifier log (kernel/bpf/verifier.c, print_verification_stats). It reads
// what it knows in any order, as lines were added and changed over time, and leaves the rest 0.
func parseStats(log string, s *Stats) {
	const lines = 300 // they are among the last, and there may be one for each of 256 functions
	rest := strings.TrimRight(log, "\n\x00 ")
	stack := 0 // of the functions, each on a line of its own since 7.3
	for range lines {
		i := strings.LastIndexByte(rest, '\n')
		line := rest[i+1:]
		parseStatLine(line, s)
		if _, n, ok := strings.Cut(line, " stack "); ok && strings.HasPrefix(line, "subprog ") {
			stack += number(strings.TrimSpace(n))
		}
		if i < 0 {
			break
		}
		rest = rest[:i]
	}
	if s.Stack == 0 {
		s.Stack = stack
	}
}

func parseStatLine(line string, s *Stats) {
	line = strings.TrimSpace(line)
	switch {
	case strings.HasPrefix(line, "processed "):
		words := strings.Fields(line)
		set := func(i int, to *int) {
			if i < len(words) && *to == 0 {
				*to = number(words[i])
			}
		}
		set(1, &s.Insns)
		for i, w := range words {
			switch w {
			case "max_states_per_insn":
				set(i+1, &s.MaxStatesPerInsn)
			case "total_states":
				set(i+1, &s.States)
			case "peak_states":
				set(i+1, &s.PeakStates)
			case "mark_read":
				set(i+1, &s.MarkRead)
			}
		}
	case strings.HasPrefix(line, "verification time "):
		words := strings.Fields(line)
		if len(words) >= 3 && s.Duration == 0 {
			s.Duration = number(words[2])
		}
	case strings.HasPrefix(line, "stack depth "):
		if s.Stack != 0 {
			return
		}
		// "stack depth 16+0+8", later with words behind it.
		word, _, _ := strings.Cut(strings.TrimPrefix(line, "stack depth "), " ")
		for part := range strings.SplitSeq(word, "+") {
			s.Stack += number(part)
		}
	}
}

// number reads a number that the kernel printed; what is none, or not in the range of sizes, is 0.
func number(s string) int {
	n, err := strconv.ParseInt(s, 10, 62)
	if err != nil || n < 0 || int64(int(n)) != n {
		return 0
	}
	return int(n)
}

// longestLine bounds what is taken from a log for a reason, in bytes.
const longestLine = 400

// telling picks the lines of a log that say why a load failed: the reason, which is the last line that is not statistics, and before it
// the last instruction and the last source line ("; …").
func telling(log string) (reason string, lines []string) {
	// Linux 7.3 explains a refusal in a text of its own, behind the line that is the same on all kernels.
	if i := strings.LastIndex(log, "\nVerification failed: "); i >= 0 && strings.TrimSpace(log[:i]) != "" {
		log = log[:i]
	}
	var insn, source, registers string
	const most = 200
	rest := strings.TrimRight(log, "\n\x00 ")
	for range most {
		i := strings.LastIndexByte(rest, '\n')
		line := clean(rest[i+1:])
		switch {
		case line == "" || isStatistics(line):
		case reason == "" && strings.Contains(line, "infinite loop detected"): // on the line of the jump
			i := strings.Index(line, "infinite loop detected")
			reason, insn = line[i:], strings.TrimSpace(line[:i])
		case reason == "":
			reason = line
		case strings.HasPrefix(line, "; instruction poisoned"): // the library's
		case strings.HasPrefix(line, "; "):
			source = line
		case insn == "" && isInsn(line):
			insn = line
		case registers == "" && insn == "" && len(line) > 1 && line[0] == 'R' && line[1] >= '0' && line[1] <= '9':
			registers = line
		}
		if i < 0 || source != "" {
			break
		}
		rest = rest[:i]
	}
	for _, l := range []string{source, insn, registers, reason} {
		if l != "" {
			lines = append(lines, l)
		}
	}
	return reason, lines
}

func isStatistics(line string) bool {
	for _, p := range []string{"processed ", "verification time ", "stack depth ", "insns processed ", "subprog ", "mark_precise: ", "cur state:", "old state:"} {
		if strings.HasPrefix(line, p) {
			return true
		}
	}
	return false
}

// isInsn recognises "12: (85) call …".
func isInsn(line string) bool {
	num, rest, ok := strings.Cut(line, ": (")
	return ok && num != "" && len(num) < 9 && number(num) >= 0 && strings.Trim(num, "0123456789") == "" && len(rest) > 2
}

// clean makes a line fit for a table: no control characters, no more than longestLine bytes.
func clean(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > longestLine {
		s = s[:longestLine]
	}
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s), "?")
}

// tail returns the last n bytes of s, whole lines, and says in a first line that there was more.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	cut := s[len(s)-n:]
	if i := strings.IndexByte(cut, '\n'); i >= 0 {
		cut = cut[i+1:]
	}
	return fmt.Sprintf("[%d bytes before this are left out]\n%s", len(s)-len(cut), cut)
}

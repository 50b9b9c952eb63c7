package vm

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// Bounds of what of a console goes into a record.
const (
	tailLines  = 10 // of a console without a splat
	splatLines = 40 // from the first splat on
	maxSplats  = 50
	maxLine    = 300
)

// panicRE matches the line with which Linux announces that it stops (kernel/panic.c).
var panicRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`Kernel panic - not syncing`) })

// splatRE matches lines that tell of a kernel bug, whether or not the kernel goes on (lib/bug.c, kernel/panic.c,
// kernel/watchdog.c, kernel/rcu/tree_stall.h, mm/oom_kill.c, the architectures' traps).
var splatRE = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`Kernel panic - not syncing|\bBUG: |\bOops\b|\bWARNING: CPU: |` +
		`\bWARNING: \S+:\d+ at |general protection fault|` +
		`kernel BUG at|Unable to handle kernel|soft lockup|hard LOCKUP|blocked for more than \d+ seconds|` +
		`rcu.*detected (expedited )?stalls?|self-detected stall|Out of memory( \([^)]*\))?: Killed|KASAN: |UBSAN: |stack-protector`)
})

// agentRE matches the agent's own last words.
var agentRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^bpfcov-agent: (.*)`) })

// escapeRE matches colours and the like (ECMA-48).
var escapeRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("\x1b\\[[0-9;?]*[ -/]*[@-~]") })

// lines splits console text into printable lines without empty ones.
func lines(console []byte) []string {
	var out []string
	for _, l := range strings.FieldsFunc(string(console), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if l = strings.TrimSpace(printable(l)); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// telling finds the line that says best what went wrong, and the lines worth keeping: from shortly before the first
// splat, which are its registers and trace, or else the last ones. When the kernel panicked later, the line has that too.
func telling(console []byte) (line string, tail []string) {
	all := lines(console)
	first, last, best := -1, -1, ""
	splat, panics, agent := splatRE(), panicRE(), agentRE()
	for i, l := range all {
		switch {
		case panics.MatchString(l) && !panics.MatchString(best):
			best, last = l, i
		case splat.MatchString(l) && best == "":
			best = l
		default:
			continue
		}
		if first < 0 {
			first = i
		}
	}
	if first >= 0 {
		from := max(0, first-2)
		// What came first is mostly the cause of the rest.
		if start := withoutTime(all[first]); start != withoutTime(best) {
			best = start + "; then " + withoutTime(best)
		}
		tail = all[from:min(len(all), from+splatLines)]
		if end := from + splatLines - 2; last > end {
			tail = append(slices.Clone(all[from:end]), "[…]", all[last]) // the panic's own line is to be there
		}
		return withoutTime(best), tail
	}
	tail = all[max(0, len(all)-tailLines):]
	if len(tail) == 0 {
		return "", nil
	}
	// What the agent says before it gives up explains more than that the machine then powers off.
	for _, l := range tail {
		if m := agent.FindStringSubmatch(l); m != nil {
			best = m[1]
		}
	}
	if best != "" {
		return best, tail
	}
	return withoutTime(tail[len(tail)-1]), tail
}

// splats lists the lines that tell of kernel bugs.
func splats(console []byte) []string {
	var out []string
	for _, l := range lines(console) {
		if splatRE().MatchString(l) {
			if out = append(out, l); len(out) == maxSplats {
				break
			}
		}
	}
	return out
}

// printkArg reports whether a kernel argument is about what is printed on the console.
func printkArg(arg string) bool {
	return arg == "debug" || arg == "quiet" || arg == "ignore_loglevel" || strings.HasPrefix(arg, "loglevel=")
}

// withoutTime cuts the time stamp off a kernel message, which differs from run to run.
func withoutTime(l string) string {
	if rest, ok := strings.CutPrefix(l, "["); ok {
		if _, after, ok := strings.Cut(rest, "] "); ok {
			return after
		}
	}
	return l
}

// printable makes a guest's text safe for a terminal and bounds its length.
func printable(s string) string {
	if strings.Contains(s, "\x1b") {
		s = escapeRE().ReplaceAllString(s, "")
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n':
			return r
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	if len(s) > maxLine {
		s = strings.ToValidUTF8(s[:maxLine], "") + "…"
	}
	return s
}

func firstLine(s string) string {
	l, _, _ := strings.Cut(s, "\n")
	return l
}

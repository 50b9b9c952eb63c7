package terminal

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type alignment int

const (
	left alignment = iota
	right
)

// field is one place of a table.
type field struct {
	text  string
	style style
}

// table lays out columns of text. A heading may span the columns after it that have none.
type table struct {
	heads  []string
	align  []alignment
	span   map[string]int
	hidden map[int]bool
	rows   [][]field
	rule   int   // row that a rule is drawn above, 0 for none
	widths []int // see layout
}

func (t *table) head(name string, a alignment) {
	t.heads = append(t.heads, name)
	t.align = append(t.align, a)
}

func (t *table) spans(name string, n int) {
	if t.span == nil {
		t.span = map[string]int{}
	}
	t.span[name] = n
}

// hide leaves out a column.
func (t *table) hide(col int) {
	if t.hidden == nil {
		t.hidden = map[int]bool{}
	}
	t.hidden[col] = true
}

// gap is the distance before a column: three, but one within the span of a heading.
func (t *table) gap(col int) int {
	switch {
	case t.hidden[col]:
		return 0
	case col == 0 || t.heads[col] == "":
		return 1
	}
	return 3
}

// spanWidth is the width of column i with those that its heading spans.
func (t *table) spanWidth(i int) int {
	w := t.widths[i]
	for k := i + 1; k < i+max(1, t.span[t.heads[i]]); k++ {
		w += t.gap(k) + t.widths[k]
	}
	return w
}

// layout computes the widths of columns.
func (t *table) layout() {
	t.widths = make([]int, len(t.heads))
	for i := range t.heads {
		if t.hidden[i] {
			continue
		}
		for _, r := range t.rows {
			t.widths[i] = max(t.widths[i], width(r[i].text))
		}
	}
	for i, h := range t.heads {
		if over := width(h) - t.spanWidth(i); h != "" && over > 0 {
			t.widths[i] += over
		}
	}
}

// total is the width of the table.
func (t *table) total() int {
	total := 0
	for i := range t.widths {
		total += t.gap(i) + t.widths[i]
	}
	return total
}

// fit makes columns of text narrower, but not less than least, and reports whether the table then fits.
// Everything else is figures, which are never cut.
func (t *table) fit(limit, least int) bool {
	for i := range t.heads {
		if over := t.total() - limit; over > 0 && t.align[i] == left && t.heads[i] != "" {
			t.widths[i] -= min(over, max(0, t.widths[i]-least))
		}
	}
	return t.total() <= limit
}

func (t *table) write(p *printer) {
	var head strings.Builder
	for i := 0; i < len(t.heads); i += max(1, t.span[t.heads[i]]) {
		a := t.align[i]
		if t.span[t.heads[i]] > 1 {
			a = left
		}
		head.WriteString(strings.Repeat(" ", t.gap(i)) + pad(t.heads[i], t.spanWidth(i), a))
	}
	p.line("%s", p.paint(dim, strings.TrimRight(head.String(), " ")))
	for n, r := range t.rows {
		if n > 0 && n == t.rule {
			p.line(" %s", p.paint(dim, strings.Repeat("─", t.total()-1)))
		}
		var b strings.Builder
		for i, f := range r {
			if t.hidden[i] {
				continue
			}
			b.WriteString(strings.Repeat(" ", t.gap(i)))
			b.WriteString(p.paint(f.style, pad(shorten(f.text, t.widths[i]), t.widths[i], t.align[i])))
		}
		p.line("%s", b.String())
	}
}

// pad fills text up to w columns.
func pad(text string, w int, a alignment) string {
	fill := strings.Repeat(" ", max(0, w-width(text)))
	if a == right {
		return fill + text
	}
	return text + fill
}

// shorten cuts text to w columns and says so with an ellipsis.
func shorten(text string, w int) string {
	if width(text) <= w {
		return text
	}
	for width(text) > w-1 && text != "" {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	return text + "…"
}

// width is the number of columns that text takes. East Asian scripts take two a character, marks none.
func width(text string) int {
	n := 0
	for _, r := range text {
		switch {
		case r < 0x300:
			n++
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana),
			r >= 0xff01 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff:
			n += 2
		default:
			n++
		}
	}
	return n
}

// wrap breaks text at blanks into lines of at most w columns. Words that are longer are cut.
func wrap(text string, w int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case width(line)+1+width(word) <= w:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
		for width(line) > w {
			cut := len(shorten(line, w+1)) - len("…")
			if cut <= 0 {
				break
			}
			lines = append(lines, line[:cut])
			line = line[cut:]
		}
	}
	return append(lines, line)
}

// wrapAtMost is wrap for text that may be long without being worth more than n lines.
func wrapAtMost(n int, text string, w int) []string {
	lines := wrap(text, w)
	if len(lines) > n {
		lines = lines[:n]
		lines[n-1] = shorten(lines[n-1]+" …", w)
	}
	return lines
}

// clean replaces what a terminal would act on: text from guests may hold anything.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp):
			return -1
		}
		return r
	}, stripEscapes(s))
}

// stripEscapes removes ANSI control sequences (ECMA-48: ESC [ parameters, intermediates, final byte).
func stripEscapes(s string) string {
	if !strings.Contains(s, "\x1b[") {
		return s
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		end := strings.IndexFunc(after, func(r rune) bool { return r >= 0x40 && r <= 0x7e })
		if end < 0 {
			return b.String()
		}
		s = after[end+1:]
	}
}

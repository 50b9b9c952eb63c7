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
	heads []string
	align []alignment
	span  map[string]int
	rows  [][]field
	rule  int // row that a rule is drawn above, 0 for none
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

// gap is the distance before a column: two, but one within the span of a heading.
func (t *table) gap(col int) int {
	switch {
	case col == 0:
		return 1
	case t.heads[col] == "":
		return 1
	}
	return 3
}

func (t *table) write(p *printer) {
	widths := make([]int, len(t.heads))
	for i, h := range t.heads {
		if t.span[h] == 0 {
			widths[i] = width(h)
		}
		for _, r := range t.rows {
			widths[i] = max(widths[i], width(r[i].text))
		}
	}
	total := 0
	for i := range widths {
		total += t.gap(i) + widths[i]
	}
	// The first column gives way, then the third (tests): everything else is figures.
	for _, i := range []int{0, 2, 3} {
		if over := total - p.o.Width; over > 0 && t.align[i] == left {
			cut := min(over, max(0, widths[i]-16))
			widths[i] -= cut
			total -= cut
		}
	}
	var head strings.Builder
	for i := 0; i < len(t.heads); {
		n := max(1, t.span[t.heads[i]])
		w := widths[i]
		for k := i + 1; k < i+n; k++ {
			w += t.gap(k) + widths[k]
		}
		a := t.align[i]
		if n > 1 {
			a = left
		}
		head.WriteString(strings.Repeat(" ", t.gap(i)) + pad(t.heads[i], w, a))
		i += n
	}
	p.line("%s", p.paint(dim, strings.TrimRight(head.String(), " ")))
	for n, r := range t.rows {
		if n > 0 && n == t.rule {
			p.line(" %s", p.paint(dim, strings.Repeat("─", min(total, p.o.Width)-1)))
		}
		var b strings.Builder
		for i, f := range r {
			b.WriteString(strings.Repeat(" ", t.gap(i)))
			b.WriteString(p.paint(f.style, pad(shorten(f.text, widths[i]), widths[i], t.align[i])))
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

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/bpfcov/bpfcov/vm/matrix"
)

// live shows on a terminal what the cells of a run do: a line for each that is running, at the bottom, and above it
// whatever is said meanwhile. It erases and writes its own lines only, so that what scrolls away stays readable.
type live struct {
	out   io.Writer
	size  func() (width, height int)
	now   func() time.Time
	start time.Time

	mu     sync.Mutex
	cells  []*liveCell // in the order of their first status
	drawn  int         // lines on the screen that are ours
	ended  bool
	ticker *time.Ticker
}

type liveCell struct {
	matrix.Status
	since time.Time // of not waiting any more
}

// startLive returns nil where stderr is no terminal that can be drawn on, or CI is set.
func startLive() *live {
	fd := int(os.Stderr.Fd())
	if !term.IsTerminal(fd) || os.Getenv("TERM") == "dumb" || os.Getenv("TERM") == "" || os.Getenv("CI") != "" {
		return nil
	}
	l := newLive(os.Stderr, func() (int, int) {
		w, h, err := term.GetSize(fd)
		if err != nil {
			return 80, 24
		}
		return w, h
	})
	l.ticker = time.NewTicker(time.Second)
	go func() {
		for range l.ticker.C {
			l.mu.Lock()
			if l.ended {
				l.mu.Unlock()
				return
			}
			l.draw(nil)
			l.mu.Unlock()
		}
	}()
	return l
}

func newLive(out io.Writer, size func() (int, int)) *live {
	return &live{out: out, size: size, now: time.Now, start: time.Now()}
}

// print says something above the lines of the cells.
func (l *live) print(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draw(fmt.Appendf(nil, "bpfcov: "+format+"\n", args...))
}

// status notes what a cell does. One that is done gets a line that stays.
func (l *live) status(s matrix.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var c *liveCell
	for _, have := range l.cells {
		if have.Cell == s.Cell {
			c = have
		}
	}
	if c == nil {
		c = &liveCell{}
		l.cells = append(l.cells, c)
	}
	if s.Guess == 0 {
		s.Guess = c.Guess
	}
	if c.since.IsZero() && s.State != "waiting" {
		c.since = l.now()
	}
	if s.State == "waiting" {
		c.since = time.Time{} // again, in another pass
	}
	c.Status = s
	if !s.Done {
		l.draw(nil)
		return
	}
	mark := "✓"
	if !s.OK {
		mark = "✗"
	}
	l.draw(fmt.Appendf(nil, " %s %-24s %-9s %s\n", mark, s.Cell, s.State, seconds(s.Took)))
}

// draw writes text where our lines are, and our lines below it.
func (l *live) draw(text []byte) {
	var b bytes.Buffer
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", l.drawn) // up, and erase to the end of the screen
	}
	b.Write(text)
	l.drawn = 0
	if !l.ended {
		for _, line := range l.lines() {
			b.WriteString(line + "\n")
			l.drawn++
		}
	}
	l.out.Write(b.Bytes())
}

func (l *live) lines() []string {
	width, height := l.size()
	var out []string
	var done, failed, waiting int
	var left time.Duration
	for _, c := range l.cells {
		switch {
		case c.Done && c.OK:
			done++
		case c.Done:
			done++
			failed++
		case c.State == "waiting":
			waiting++
			left += c.Guess
		default:
			ran := l.now().Sub(c.since)
			line := fmt.Sprintf(" … %-24s %s, %s", c.Cell, c.State, seconds(ran))
			if c.Guess > 0 {
				line += " of about " + seconds(c.Guess)
			}
			out = append(out, line)
		}
	}
	if len(l.cells) == 0 || done == len(l.cells) {
		return nil
	}
	sum := fmt.Sprintf(" %d of %d cells done", done, len(l.cells))
	if failed > 0 {
		sum += fmt.Sprintf(", %d failed", failed)
	}
	sum += fmt.Sprintf(", %d waiting, %s", waiting, seconds(l.now().Sub(l.start)))
	if most := max(1, height-3); len(out) > most {
		sum += fmt.Sprintf(" (%d more are running)", len(out)-most)
		out = out[:most]
	}
	out = append(out, sum)
	for i, s := range out {
		if r := []rune(s); len(r) >= width && width > 1 {
			out[i] = string(r[:width-1]) // a line that wraps would be two
		}
	}
	return out
}

// end removes the lines of the cells.
func (l *live) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.draw(nil)
	if l.ticker != nil {
		l.ticker.Stop()
	}
}

func seconds(d time.Duration) string {
	d = d.Round(time.Second)
	if d < time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	if d%time.Minute == 0 {
		return strings.TrimSuffix(d.String(), "0s")
	}
	return d.String()
}

package guest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The job and the small messages are text: lines of a key, a blank and a quoted value. JSON would do, but
// running encoding/json for the first time costs an emulated guest 20 ms, 1 % of a boot.

// appendText adds a line.
func appendText(b []byte, key, value string) []byte {
	b = append(b, key...)
	b = append(b, ' ')
	b = strconv.AppendQuote(b, value)
	return append(b, '\n')
}

func appendInt(b []byte, key string, n int64) []byte {
	return appendText(b, key, strconv.FormatInt(n, 10))
}

// text reads lines. The first error sticks.
type text struct {
	rest       []byte
	key, value string
	err        error
}

// next moves to the next line, and reports whether there is one.
func (t *text) next() bool {
	if t.err != nil || len(t.rest) == 0 {
		return false
	}
	line, rest, ok := bytes.Cut(t.rest, []byte("\n"))
	t.rest = rest
	key, quoted, ok2 := strings.Cut(string(line), " ")
	value, err := strconv.Unquote(quoted)
	if !ok || !ok2 || key == "" || err != nil || !strings.HasPrefix(quoted, `"`) {
		t.err = fmt.Errorf("line %.100q: want a key and a quoted value", line)
		return false
	}
	t.key, t.value = key, value
	return true
}

// str, num, dur and yes store the current value.
func (t *text) str(p *string) { *p = t.value }

func (t *text) num(p *int) {
	n, err := strconv.Atoi(t.value)
	if err != nil {
		t.err = fmt.Errorf("%s %.40q: want a number", t.key, t.value)
	}
	*p = n
}

func (t *text) int64(p *int64) {
	n, err := strconv.ParseInt(t.value, 10, 64)
	if err != nil {
		t.err = fmt.Errorf("%s %.40q: want a number", t.key, t.value)
	}
	*p = n
}

func (t *text) dur(p *time.Duration) {
	var n int64
	t.int64(&n)
	*p = time.Duration(n)
}

func (t *text) yes(p *bool) { *p = t.value == "true" }

// unknown refuses the current key. Both ends are built from one source, so there are no unknown keys.
func (t *text) unknown() {
	t.err = fmt.Errorf("unknown key %.40q; is the agent of another version of bpfcov?", t.key)
}

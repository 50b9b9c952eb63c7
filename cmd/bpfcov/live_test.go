package main

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/vm/matrix"
)

// screen is what a terminal of the VT100 kind shows after what was written, for the two sequences that live uses.
func screen(t *testing.T, written string) string {
	t.Helper()
	var lines []string
	row := 0
	up := regexp.MustCompile(`^\x1b\[(\d+)A\r\x1b\[J`)
	line := func() *string {
		for len(lines) <= row {
			lines = append(lines, "")
		}
		return &lines[row]
	}
	for written != "" {
		if m := up.FindStringSubmatch(written); m != nil {
			n, _ := strconv.Atoi(m[1])
			if row -= n; row < 0 {
				t.Fatalf("went %d lines above the first", -row)
			}
			lines = lines[:row]
			written = written[len(m[0]):]
			continue
		}
		switch c := written[0]; c {
		case '\n':
			line()
			row++
		case 0x1b:
			t.Fatalf("another escape sequence: %q", written[:min(10, len(written))])
		default:
			*line() += string([]byte{c})
		}
		written = written[1:]
	}
	return strings.Join(lines, "\n")
}

func TestLive(t *testing.T) {
	var b bytes.Buffer
	now := time.Unix(1000, 0)
	l := newLive(&b, func() (int, int) { return 60, 24 })
	l.start, l.now = now, func() time.Time { return now }
	for _, s := range []matrix.Status{
		{Cell: "6.1-amd64", State: "waiting", Guess: 20 * time.Second}, {Cell: "7.2-s390x", State: "waiting"}, {Cell: "6.12-arm64", State: "waiting"},
		{Cell: "6.1-amd64", State: "booting"}, {Cell: "7.2-s390x", State: "running filewatch"},
	} {
		l.status(s)
	}
	now = now.Add(65 * time.Second)
	l.print("6.1-amd64: boot 1: no hello")
	want := `bpfcov: 6.1-amd64: boot 1: no hello
 … 6.1-amd64                booting, 1m5s of about 20 s
 … 7.2-s390x                running filewatch, 1m5s
 0 of 3 cells done, 1 waiting, 1m5s`
	if got := screen(t, b.String()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	l.status(matrix.Status{Cell: "7.2-s390x", State: "failed", Done: true, Took: 70 * time.Second})
	l.status(matrix.Status{Cell: "6.1-amd64", State: "passed", Done: true, OK: true, Took: 9 * time.Second})
	want = `bpfcov: 6.1-amd64: boot 1: no hello
 ✗ 7.2-s390x                failed    1m10s
 ✓ 6.1-amd64                passed    9 s
 2 of 3 cells done, 1 failed, 1 waiting, 1m5s`
	if got := screen(t, b.String()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	l.end()
	l.print("the end")
	if got := screen(t, b.String()); !strings.HasSuffix(got, "9 s\nbpfcov: the end") {
		t.Errorf("after the end: got\n%s", got)
	}
}

func TestLiveNarrow(t *testing.T) {
	var b bytes.Buffer
	l := newLive(&b, func() (int, int) { return 20, 5 })
	for i := range 10 {
		l.status(matrix.Status{Cell: strconv.Itoa(i) + ".0-amd64", State: "running a test with a long name"})
	}
	got := screen(t, b.String())
	if n := strings.Count(got, "\n") + 1; n != 3 {
		t.Errorf("got %d lines on a terminal of 5:\n%s", n, got)
	}
	for _, s := range strings.Split(got, "\n") {
		if n := len([]rune(s)); n > 19 {
			t.Errorf("%q has %d columns of 20", s, n)
		}
	}
}

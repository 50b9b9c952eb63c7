package terminal

import (
	"bytes"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func write(t *testing.T, r *model.Report, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func build(t *testing.T, d *collect.Data) *model.Report {
	t.Helper()
	r, err := model.Build(d, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMatrix(t *testing.T) {
	r := build(t, modeltest.Data(t))
	color := write(t, r, Options{Color: true, Differences: 1})
	modeltest.Golden(t, "matrix", *update, [2]string{"plain", write(t, r, Options{Elapsed: 95 * time.Second})},
		[2]string{"two differences, 80 columns", write(t, r, Options{Differences: 2, Width: 80})},
		[2]string{"color", strings.ReplaceAll(color, "\x1b", "^")})
	if plain := write(t, r, Options{Differences: 1}); stripEscapes(color) != plain {
		t.Error("colour changes the text")
	}
}

// TestShapes shows reports that are small, empty or full of surprises.
func TestShapes(t *testing.T) {
	d := modeltest.Data(t)
	var texts [][2]string
	shape := func(name string, records ...collect.Record) {
		texts = append(texts, [2]string{name, write(t, build(t, &collect.Data{Metas: d.Metas, Records: records}), Options{})})
	}
	shape("one cell", d.Records[0])
	shape("one cell with a refused program", d.Records[1])
	shape("nothing")
	shape("no kernel booted", d.Records[5])

	hostile := d.Records[1]
	hostile.Run.Cell.Kernel = "6.99.0-with-a-name-that-nobody-would-give-to-a-kernel-but-somebody-did+\x1b[31m\nx"
	hostile.Run.Outcome, hostile.Run.Reason = collect.Panicked, strings.Repeat("a reason that goes on ", 20)+"\r\n\x00"
	hostile.Run.Console = []string{strings.Repeat("wide ", 60), "\x1b[2J\x1b[Hgone?\x07", "名前 tab\there"}
	hostile.Run.Cases = slices.Repeat([]collect.Case{{Name: "Test/" + strings.Repeat("long_", 40), Outcome: collect.Failed}}, 12)
	hostile.Programs = slices.Clone(hostile.Programs)
	for i := range hostile.Programs {
		hostile.Programs[i].Reason += strings.Repeat(" R1_w=scalar()", 30) + strings.Repeat("x", 150)
	}
	other := d.Records[0]
	other.Run.Cell.LLVM = 14
	shape("hostile", hostile, d.Records[0], other)
	modeltest.Golden(t, "shapes", *update, texts...)
}

// TestWidth checks that no line is wider than asked for, at any width and for many cells, and that
// columns are aligned.
func TestWidth(t *testing.T) {
	d := modeltest.Data(t)
	base := d.Records
	for n := range 40 {
		r := base[n%len(base)]
		r.Run.Cell.Kernel = fmt.Sprintf("6.%d.%d-generic", n/4+20, n%4)
		r.Run.ID = r.Run.Cell.Kernel
		d.Records = append(d.Records, r)
	}
	r := build(t, d)
	for _, w := range []int{0, 80, 100, 120, 200} {
		text := write(t, r, Options{Width: w, Differences: -1})
		limit := w
		if w == 0 {
			limit = 120
		}
		lines := strings.Split(text, "\n")
		for _, line := range lines {
			if got := width(line); got > limit {
				t.Fatalf("width %d: a line of %d columns: %s", w, got, line)
			}
		}
		// Every row has its bar at the same column. Narrow tables have none.
		at := -1
		for _, line := range lines[1 : 1+len(r.Cells)] {
			i := strings.IndexAny(line, "█▏▎▍▌▋▊▉")
			if i < 0 {
				continue
			}
			if col := width(line[:i]); at >= 0 && col != at {
				t.Fatalf("width %d: bar at column %d, want %d: %s", w, col, at, line)
			} else {
				at = col
			}
		}
		if want := w == 0 || w > 100; (at >= 0) != want {
			t.Errorf("width %d: bars %v, want %v, in\n%s", w, at >= 0, want, text)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "", 40 * time.Millisecond: "0.0s", 1950 * time.Millisecond: "1.9s", 59990 * time.Millisecond: "59.9s",
		time.Minute: "1m00s", 185 * time.Second: "3m05s", 2*time.Hour + 61*time.Second: "2h01m",
	} {
		if got := duration(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestBar(t *testing.T) {
	for _, test := range []struct {
		hit, total int
		want       string
	}{{0, 10, "····"}, {1, 10000, "▏···"}, {1, 2, "██··"}, {9999, 10000, "███▉"}, {10, 10, "████"}} {
		if got := bar(model.Ratio{Hit: test.hit, Total: test.total}, 4); got != test.want {
			t.Errorf("%d of %d: got %q, want %q", test.hit, test.total, got, test.want)
		}
	}
}

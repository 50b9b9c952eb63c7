package reporthtml

import (
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
	"github.com/bpfcov/bpfcov/report/source"
)

// decode is what the site's data.js does.
func decode(t *testing.T, tab *table, vec, counts, cells int) []model.State {
	t.Helper()
	var out []model.State
	hits := 0
	for i := 0; i < len(tab.Vecs[vec]); i += 2 {
		s := tab.States[tab.Vecs[vec][i]]
		for range tab.Vecs[vec][i+1] {
			x := model.State{Status: model.Status(s[0]), Reason: model.Reason(s[1])}
			if x.Status == model.Hit {
				x.Count = uint64(tab.Counts[counts][hits])
				hits++
			}
			out = append(out, x)
		}
	}
	if len(out) != cells || hits != len(tab.Counts[counts]) {
		t.Fatalf("vector %v with counts %v: got %d cells and %d hits, want %d cells", tab.Vecs[vec], tab.Counts[counts], len(out), hits, cells)
	}
	return out
}

func TestTable(t *testing.T) {
	hit := func(n uint64) model.State { return model.State{Status: model.Hit, Count: n} }
	missed := model.State{Status: model.Missed}
	refused := model.State{Status: model.Rejected, Reason: 3}
	positions := [][]model.State{
		{hit(1), hit(1), hit(2), missed},
		{hit(7), hit(math.MaxUint64), hit(2), missed}, // the same statuses
		{missed, missed, missed, missed},
		{refused, hit(1), hit(1), hit(2)},
		{{}, {}, refused, {Status: model.Rejected, Reason: 4}},
		{hit(1), hit(1), hit(2), missed}, // the first one again
	}
	tab := newTable()
	var vecs, counts []int
	for _, p := range positions {
		v, c := tab.add(len(p), func(i int) model.State { return p[i] })
		vecs, counts = append(vecs, v), append(counts, c)
	}
	for i, p := range positions {
		if diff := cmp.Diff(p, decode(t, tab, vecs[i], counts[i], len(p))); diff != "" {
			t.Errorf("position %d, want (-), got (+):\n%s", i, diff)
		}
	}
	if diff := cmp.Diff([]int{0, 0, 1, 2, 3, 0}, vecs); diff != "" {
		t.Errorf("vectors, want (-), got (+):\n%s", diff)
	}
	if len(tab.Counts) != 3 {
		t.Errorf("got %d lists of counts, want 3 (none, 1 1 2 of two vectors, 7 max 2): %v", len(tab.Counts), tab.Counts)
	}
	b, err := json.Marshal(tab)
	if err != nil {
		t.Fatal(err)
	}
	// JSON of a count that JavaScript cannot hold is text.
	if want := `[7,"18446744073709551615",2]`; !strings.Contains(string(b), want) {
		t.Errorf("got %s, want it to contain %s", b, want)
	}
}

func TestSpark(t *testing.T) {
	status := map[rune]model.Status{'h': model.Hit, 'm': model.Missed, 'e': model.Eliminated, 'b': model.NotBuilt}
	for _, test := range []struct{ lines, want string }{
		{"", ""},
		{"hme", "743"},
		{strings.Repeat("h", 48), strings.Repeat("7", 24)},
		{strings.Repeat("hm", 24), strings.Repeat("4", 24)},                                   // a gap is seen however small
		{strings.Repeat("hb", 24), strings.Repeat("7", 24)},                                   // what is not built is none
		{strings.Repeat("h", 47) + "e", strings.Repeat("7", 23) + "3"},                        // at its place
		{strings.Repeat("eem", 24), strings.Repeat("3", 24)},                                  // what explains most
		{strings.Repeat("bb", 24), strings.Repeat("1", 24)},                                   //
		{strings.Repeat("h", 2400) + strings.Repeat("m", 100), strings.Repeat("7", 23) + "4"}, //
	} {
		f := &model.File{}
		for _, r := range test.lines {
			f.Lines = append(f.Lines, model.Line{Number: len(f.Lines) + 1, Cells: []model.State{{Status: status[r]}}})
		}
		if got := spark(f, 0); got != test.want {
			t.Errorf("%.60s: got %s, want %s", test.lines, got, test.want)
		}
	}
}

func TestSources(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "repo")
	modeltest.WriteFile(t, root, "src/a.c", "one\r\ntwo\xff\n")
	modeltest.WriteFile(t, root, ".git/config", "secret")
	modeltest.WriteFile(t, dir, "outside.c", "secret")
	for name, target := range map[string]string{"src/link.c": "../../outside.c", "src/inside.c": "a.c"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "src/pipe.c"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := source.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, test := range []struct{ name, text, note string }{
		{"src/a.c", "one\ntwo\uFFFD", ""},
		{"src/../src/a.c", "one\ntwo\uFFFD", ""},
		{filepath.Join(root, "src/a.c"), "one\ntwo\uFFFD", ""},
		{"src/inside.c", "one\ntwo\uFFFD", ""},
		{"src/link.c", "", "could not be read"},
		{"../outside.c", "", "outside of the repository"},
		{filepath.Join(dir, "outside.c"), "", "could not be read"},
		{"/etc/passwd", "", "could not be read"},
		{".git/config", "", "hidden"},
		{"src", "", "could not be read"},
		{"src/pipe.c", "", "could not be read"},
		{"src/none.c", "", "not found"},
		{"", "", "hidden"},
		{"a\x00b", "", ""},
	} {
		got := readSource(s, test.name)
		if strings.Join(got.lines, "\n") != test.text || !strings.Contains(got.note, test.note) || got.found != (test.text != "") {
			t.Errorf("%q: got %+v, want text %q and a note with %q", test.name, got, test.text, test.note)
		}
	}
}

// read returns the JSON of a data file.
func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "data", name+".js"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)^bpfcovData\("([a-z0-9]+)", (.*)\)\n$`).FindSubmatch(b)
	if m == nil || string(m[1]) != name {
		t.Fatalf("%s.js is %.80q", name, b)
	}
	if m[2][0] != '"' {
		return m[2]
	}
	out, err := io.ReadAll(flate.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(strings.Trim(string(m[2]), `"`)))))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWrite checks that the site says of each line of each cell what the model says.
func TestWrite(t *testing.T) {
	r, err := model.Build(modeltest.Data(t), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	modeltest.Sources(t, root)
	dir := filepath.Join(t.TempDir(), "site")
	for range 2 { // the second one replaces the first
		if err := Write(dir, r, Options{SourceRoot: root, Title: "probe"}); err != nil {
			t.Fatal(err)
		}
	}
	var rep reportData
	if err := json.Unmarshal(read(t, dir, "report"), &rep); err != nil {
		t.Fatal(err)
	}
	if len(rep.Cells) != len(r.Cells) || len(rep.Files) != len(r.Files) || rep.AllDifferences != len(r.Differences) {
		t.Fatalf("got %d cells, %d files, %d differences", len(rep.Cells), len(rep.Files), rep.AllDifferences)
	}
	for k := range r.Files {
		var f fileData
		if err := json.Unmarshal(read(t, dir, "f"+string(rune('0'+k))), &f); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(root, r.Files[k].Name))
		if err != nil {
			t.Fatal(err)
		}
		if f.Text == nil || *f.Text+"\n" != string(want) {
			t.Errorf("%s: the text is not that of the source", f.Name)
		}
		number := 0
		for i, l := range r.Files[k].Lines {
			number += f.Lines[i]
			if number != l.Number {
				t.Fatalf("%s: line %d: got number %d", f.Name, l.Number, number)
			}
			if diff := cmp.Diff(l.Cells, decode(t, &f.table, f.LineVecs[i], f.LineCounts[i], len(r.Cells))); diff != "" {
				t.Errorf("%s:%d, want (-), got (+):\n%s", f.Name, number, diff)
			}
		}
		for i, b := range r.Files[k].Branches {
			at := f.Branches[i].At
			if diff := cmp.Diff([]int{b.Line, b.SourceLine, b.Col, b.EndLine, b.EndCol}, at[:5]); diff != "" {
				t.Errorf("%s: branch %d, want (-), got (+):\n%s", f.Name, i, diff)
			}
			yes, no := decode(t, &f.table, at[5], at[6], len(r.Cells)), decode(t, &f.table, at[7], at[8], len(r.Cells))
			for c, s := range b.Cells {
				if s.True != yes[c] || s.False != no[c] {
					t.Errorf("%s: branch %d in cell %d: got %v and %v, want %v", f.Name, i, c, yes[c], no[c], s)
				}
			}
		}
	}
	first, err := os.ReadFile(filepath.Join(dir, "data", "f0.js"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, r, Options{SourceRoot: root}); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(filepath.Join(dir, "data", "f0.js")); err != nil || string(again) != string(first) {
		t.Errorf("the same report gave another file (%v)", err)
	}
}

func TestChanged(t *testing.T) {
	text := strings.Split("int f(void)\n{\n\treturn 1;\n}\nMAKE(g)\n\n", "\n")
	for _, test := range []struct {
		name      string
		line, end int
		want      bool
	}{
		{"as compiled", 2, 4, false},
		{"made by a macro", 5, 5, false},
		{"moved", 3, 5, true},
		{"shorter", 2, 40, true},
	} {
		f := &model.File{Functions: []model.Function{{Name: "f", Line: test.line, EndLine: test.end}}}
		if got := changed(f, text); got != test.want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
	if !changed(&model.File{Lines: []model.Line{{Number: 9}}}, text) {
		t.Error("a line behind the end: got false")
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	modeltest.WriteFile(t, dir, "index.html", "mine")
	err := Write(dir, &model.Report{}, Options{})
	if err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a folder of somebody else: got %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "index.html")); err != nil || string(b) != "mine" {
		t.Errorf("it was changed: %q, %v", b, err)
	}
	if err := Write(filepath.Join(dir, "site"), &model.Report{}, Options{SourceRoot: filepath.Join(dir, "none")}); err == nil {
		t.Error("a source folder that does not exist: got no error")
	}
	if err := Write(filepath.Join(dir, "empty"), &model.Report{}, Options{}); err != nil {
		t.Errorf("an empty report: %v", err)
	}
}

// TestAssets checks that the site names nothing outside of itself and never makes markup of text.
func TestAssets(t *testing.T) {
	entries, err := assets.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	forbidden := regexp.MustCompile(`https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|@import|url\(`)
	for _, e := range entries {
		b, err := assets.ReadFile("assets/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), "http://www.w3.org/2000/svg", "")
		if m := forbidden.FindString(text); m != "" {
			t.Errorf("%s: has %q", e.Name(), m)
		}
		name, ext, _ := strings.Cut(e.Name(), ".")
		if ext == "js" && !slices.Contains(scripts, name) || ext == "css" && !slices.Contains(styles, name) {
			t.Errorf("%s is not part of the site", e.Name())
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":            "plain",
		"a\x1b[31mred":     "a\uFFFD[31mred",
		"evil\u202egnp.c":  "evil\uFFFDgnp.c",
		"line\nbreak\ttab": "line\nbreak\ttab",
		"not\xffutf8":      "not\uFFFDutf8",
		"<script>":         "<script>", // text is text
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

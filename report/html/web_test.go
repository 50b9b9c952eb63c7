package reporthtml

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

// hostile is a name that an object, a source or a guest could give.
const hostile = `<img src=x onerror="window.pwned=1">'"&</script><script>window.pwned=1</script>`

// facts are what the browser tests compare with: the model's own words.
type facts struct {
	Sites       map[string]string `json:"sites"`
	Hostile     string            `json:"hostile"`
	Merged      []string          `json:"merged"`
	Cells       []cellFacts       `json:"cells"`
	Strip       int               `json:"strip"` // marks in a row of a strip
	Files       []fileFacts       `json:"files"`
	Functions   []functionFacts   `json:"functions"`
	Differences int               `json:"differences"`
	Many        manyFacts         `json:"many"`
}

type cellFacts struct {
	Name    string          `json:"name"`
	Version string          `json:"version"`
	Arch    string          `json:"arch"`
	Kernel  string          `json:"kernel"`
	Outcome collect.Outcome `json:"outcome"`
	Ran     bool            `json:"ran"`
	Figures []string        `json:"figures"`
}

type stateFacts struct {
	Statuses []string `json:"statuses"`
	Counts   []uint64 `json:"counts"`
	Reasons  []string `json:"reasons"`
}

type fileFacts struct {
	Name     string        `json:"name"`
	Last     int           `json:"last"` // number of the last line of the source
	Cells    []string      `json:"cells"`
	Lines    []lineFacts   `json:"lines"`
	Branches []branchFacts `json:"branches"`
}

type lineFacts struct {
	Number int `json:"number"`
	stateFacts
}

type branchFacts struct {
	Line int      `json:"line"`
	Yes  []string `json:"yes"`
	No   []string `json:"no"`
}

type functionFacts struct {
	Name string `json:"name"`
	Line int    `json:"line"`
	stateFacts
}

type manyFacts struct {
	Cells []string       `json:"cells"`
	Grid  map[string]int `json:"grid"`
}

func ratios(s model.Summary) []string {
	return []string{s.Lines.String(), s.Branches.String(), s.Functions.String()}
}

func statesFacts(r *model.Report, cells []model.State) stateFacts {
	var f stateFacts
	for _, s := range cells {
		f.Statuses = append(f.Statuses, s.Status.String())
		f.Counts = append(f.Counts, s.Count)
		f.Reasons = append(f.Reasons, r.Reasons[s.Reason])
	}
	return f
}

func newFacts(t *testing.T, r *model.Report, root string) *facts {
	t.Helper()
	f := &facts{Sites: map[string]string{}, Hostile: hostile, Merged: ratios(r.Merged), Strip: len(r.Cells), Differences: len(r.Differences)}
	for i := range r.Cells {
		c := &r.Cells[i]
		f.Cells = append(f.Cells, cellFacts{c.Name, newCell(c).Version, c.Arch, c.Kernel, c.Outcome, c.Ran, ratios(c.Summary)})
	}
	for k := range r.Files {
		x := &r.Files[k]
		b, err := os.ReadFile(filepath.Join(root, x.Name))
		if err != nil {
			t.Fatal(err)
		}
		y := fileFacts{Name: x.Name, Last: bytes.Count(b, []byte("\n"))}
		for _, s := range x.Cells {
			y.Cells = append(y.Cells, s.Lines.String())
		}
		for _, l := range x.Lines {
			y.Lines = append(y.Lines, lineFacts{l.Number, statesFacts(r, l.Cells)})
		}
		for _, b := range x.Branches {
			z := branchFacts{Line: b.Line}
			for _, s := range b.Cells {
				z.Yes, z.No = append(z.Yes, s.True.Status.String()), append(z.No, s.False.Status.String())
			}
			y.Branches = append(y.Branches, z)
		}
		for _, fn := range x.Functions {
			f.Functions = append(f.Functions, functionFacts{fn.Name, fn.Line, statesFacts(r, fn.Cells)})
		}
		f.Files = append(f.Files, y)
	}
	return f
}

func buildReport(t *testing.T, d *collect.Data) *model.Report {
	t.Helper()
	r, err := model.Build(d, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// manyKernels repeats the runs of a matrix under other versions.
func manyKernels(d *collect.Data, n int) *collect.Data {
	out := &collect.Data{Metas: d.Metas}
	for i := range n {
		r := d.Records[i%len(d.Records)]
		r.Run.Cell.Kernel = fmt.Sprintf("6.%d.0-test", i/len(d.Records))
		if i%len(d.Records) != 0 {
			r.Run.Cell.Kernel = fmt.Sprintf("%d.%d.0-test", 6+i%len(d.Records), i/len(d.Records))
		}
		r.Run.ID = fmt.Sprint(i)
		out.Records = append(out.Records, r)
	}
	return out
}

// poison puts a hostile text wherever somebody else's text can be.
func poison(t *testing.T, r *model.Report, root string) {
	t.Helper()
	for i := range r.Reasons[1:] {
		r.Reasons[1+i] = hostile
	}
	r.Warnings = append(r.Warnings, hostile)
	for i := range r.Differences {
		r.Differences[i].Function = hostile
		for k := range r.Differences[i].Groups {
			r.Differences[i].Groups[k].Cause = hostile
		}
	}
	for i := range r.Cells {
		c := &r.Cells[i]
		c.Name, c.Kernel, c.Spec, c.Arch, c.Failure = fmt.Sprint(hostile, i), hostile, hostile, hostile, hostile
		for k := range c.Programs {
			p := &c.Programs[k]
			p.Name, p.Type, p.Errno, p.Reason, p.Log, p.Verdict = fmt.Sprint(hostile, k), hostile, hostile, hostile, hostile, collect.VerdictRejected
		}
		for k := range c.Runs {
			x := &c.Runs[k]
			x.Test, x.Reason, x.Signal, x.Command, x.Console = hostile, hostile, hostile, []string{hostile}, []string{hostile}
			for n := range x.Cases {
				x.Cases[n].Name, x.Cases[n].Message, x.Cases[n].Outcome = hostile, hostile, collect.Failed
			}
		}
	}
	for k := range r.Files {
		f := &r.Files[k]
		for i := range f.Functions {
			f.Functions[i].Name, f.Functions[i].Program = hostile, hostile
		}
		for i := range f.Branches {
			f.Branches[i].Source = hostile
		}
		if k == 0 {
			f.Name = hostile
		}
	}
	for i := range r.Differences {
		r.Differences[i].File = hostile
	}
	// The name has a slash, so it is a file in a folder.
	modeltest.WriteFile(t, root, hostile, strings.Repeat(hostile+" /* <img> */ \"<img>\"\n", 80))
}

// writeSites writes the sites that the browser looks at.
func writeSites(t *testing.T) *facts {
	t.Helper()
	data := modeltest.Data(t)
	for i := range data.Records {
		for k := range data.Records[i].Programs {
			if p := &data.Records[i].Programs[k]; p.Verdict == collect.VerdictRejected {
				p.Log = "0: R1=ctx() R10=fp0\n12: (85) call bpf_loop#181\nunknown func bpf_loop#181\nprocessed 12 insns (limit 1000000)"
			}
		}
	}
	root := t.TempDir()
	modeltest.Sources(t, root)
	r := buildReport(t, data)
	f := newFacts(t, r, root)
	write := func(name string, r *model.Report, o Options) {
		dir := filepath.Join(t.TempDir(), "a site") // with a blank
		if err := Write(dir, r, o); err != nil {
			t.Fatal(err)
		}
		f.Sites[name] = dir
	}
	write("small", r, Options{SourceRoot: root, Title: "probe"})
	write("bare", r, Options{})
	write("damaged", r, Options{})
	if err := os.Remove(filepath.Join(f.Sites["damaged"], "data", "functions.js")); err != nil {
		t.Fatal(err)
	}
	many := buildReport(t, manyKernels(data, 120))
	for i := range many.Cells {
		f.Many.Cells = append(f.Many.Cells, many.Cells[i].Name)
	}
	f.Many.Grid = map[string]int{"rows": 3, "cols": 40}
	write("many", many, Options{SourceRoot: root})
	if b, err := os.ReadFile(filepath.Join(f.Sites["many"], "data", "report.js")); err != nil || !bytes.HasPrefix(b, []byte(`bpfcovData("report", "`)) {
		t.Errorf("data of many kernels is not packed: %.40q, %v", b, err)
	}
	poisoned := buildReport(t, data)
	bad := t.TempDir()
	poison(t, poisoned, bad)
	write("hostile", poisoned, Options{SourceRoot: bad, Title: hostile})
	return f
}

// TestBrowser clicks through the site in Chromium.
func TestBrowser(t *testing.T) {
	modules, err := filepath.Abs("../../build/webtest")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "node_modules", "playwright-core")); err != nil {
		t.Skipf("no browser driver (scripts/setup.sh test installs it): %v", err)
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v (scripts/setup.sh test installs it)", err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	f := writeSites(t)
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "facts.json")
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "webtest/run.mjs")
	cmd.Env = append(os.Environ(), "WEBTEST_MODULES="+modules, "WEBTEST_FACTS="+path, "WEBTEST_CHROMIUM="+chromium)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var x struct {
			Name, Error string
			MS          int
		}
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Errorf("%s: %v", lines.Bytes(), err)
			continue
		}
		n++
		t.Run(x.Name, func(t *testing.T) {
			t.Logf("%d ms", x.MS)
			if x.Error != "" {
				t.Error(x.Error)
			}
		})
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &stderr)
	}
	if n < 25 {
		t.Errorf("only %d browser tests ran\n%s", n, &stderr)
	}
}

package reporthtml

import (
	"regexp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
)

// Bounds of what is shown of one run, so that no guest makes the site large.
const (
	maxLog     = 16 << 10 // bytes of one verifier's log
	maxMessage = 4 << 10  // bytes of a test's message
	maxConsole = 200      // lines of a console
)

// programsData is data/programs.js: what each kernel's verifier said.
type programsData struct {
	// Logs are what [programRow.Log] refers to; entry 0 is empty.
	Logs []string `json:"logs"`
	// Cells has a list for each cell of the report.
	Cells [][]programRow `json:"cells"`
}

type programRow struct {
	Name     string          `json:"name"`
	Type     string          `json:"type"`
	Objects  []string        `json:"objects"`
	Loads    int             `json:"loads"`
	Verdict  collect.Verdict `json:"verdict"`
	Errno    string          `json:"errno,omitempty"`
	Class    string          `json:"class,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Log      int             `json:"log,omitempty"`
	Insns    int             `json:"insns"`
	Verified int             `json:"verified"`
	Xlated   int             `json:"xlated"`
	Jited    int             `json:"jited"`
}

func newProgramsData(r *model.Report) *programsData {
	d := &programsData{Logs: []string{""}, Cells: [][]programRow{}}
	known := map[string]int{"": 0}
	for i := range r.Cells {
		c := &r.Cells[i]
		rows := []programRow{}
		for k := range c.Programs {
			p := &c.Programs[k]
			row := programRow{Name: clean(p.Name), Type: clean(p.Type), Objects: []string{}, Loads: p.Loads, Verdict: p.Verdict,
				Errno: clean(p.Errno), Class: clean(string(p.Class)), Reason: clean(p.Reason), Insns: p.Insns, Verified: p.Verified, Xlated: p.Xlated, Jited: p.Jited}
			for _, id := range p.Objects {
				row.Objects = append(row.Objects, objectName(c, id.String()))
			}
			log := clean(tail(p.Log, maxLog))
			n, ok := known[log]
			if !ok {
				n = len(d.Logs)
				known[log] = n
				d.Logs = append(d.Logs, log)
			}
			row.Log = n
			rows = append(rows, row)
		}
		d.Cells = append(d.Cells, rows)
	}
	return d
}

func objectName(c *model.Cell, id string) string {
	for _, o := range c.Objects {
		if o.ID.String() == id {
			return clean(o.Object)
		}
	}
	return id[:min(8, len(id))]
}

// testsData is data/tests.js: what ran in each cell.
type testsData struct {
	Cells [][]runRow `json:"cells"`
}

type runRow struct {
	Test    string          `json:"test"`
	Command []string        `json:"command"`
	Outcome collect.Outcome `json:"outcome"`
	Reason  string          `json:"reason,omitempty"`
	Exit    int             `json:"exit"`
	Signal  string          `json:"signal,omitempty"`
	Millis  int64           `json:"ms"`
	Boot    int64           `json:"boot,omitempty"`
	Loads   int             `json:"loads,omitempty"`
	Partial bool            `json:"partial,omitempty"`
	Console []string        `json:"console,omitempty"`
	Cases   []caseRow       `json:"cases"`
}

type caseRow struct {
	Name    string          `json:"name"`
	Outcome collect.Outcome `json:"outcome"`
	Millis  int64           `json:"ms"`
	Message string          `json:"message,omitempty"`
}

func newTestsData(r *model.Report) *testsData {
	d := &testsData{Cells: [][]runRow{}}
	for i := range r.Cells {
		rows := []runRow{}
		for k := range r.Cells[i].Runs {
			x := &r.Cells[i].Runs[k]
			row := runRow{Test: clean(x.Test), Command: []string{}, Outcome: x.Outcome, Reason: clean(x.Reason), Exit: x.ExitCode, Signal: clean(x.Signal),
				Millis: x.Duration.Milliseconds(), Boot: x.Boot.Milliseconds(), Loads: x.Loads, Partial: x.Partial, Cases: []caseRow{}}
			for _, a := range x.Command {
				row.Command = append(row.Command, clean(a))
			}
			for _, l := range x.Console[:min(len(x.Console), maxConsole)] {
				row.Console = append(row.Console, clean(escapes.ReplaceAllString(l, "")))
			}
			for _, c := range x.Cases {
				row.Cases = append(row.Cases, caseRow{clean(c.Name), c.Outcome, c.Duration.Milliseconds(),
					clean(escapes.ReplaceAllString(tail(c.Message, maxMessage), ""))})
			}
			rows = append(rows, row)
		}
		d.Cells = append(d.Cells, rows)
	}
	return d
}

// escapes are the control sequences of terminals (ECMA-48 CSI).
var escapes = regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]")

// tail is the end of s, at most n bytes.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "…" + s[len(s)-n:]
}

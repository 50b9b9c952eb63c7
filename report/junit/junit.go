// Package junit writes test results as JUnit XML, which every CI system shows: one suite for each cell, with the
// kernel and architecture in its name and in the class names of its cases.
//
// A test that names its cases (Go's) gives one element each, any other test gives one for itself. A kernel
// that did not boot, a guest that was lost and a kernel panic are errors, not failures: the test did not
// say anything. A program that the kernel refused is a failure where a test of that cell failed;
// where all passed, the loader knew what to do without it, and the refusal is told in <system-out>.
package junit

import (
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
)

// maxText bounds one message or output, in bytes.
const maxText = 64 << 10

type suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Errors   int      `xml:"errors,attr"`
	Skipped  int      `xml:"skipped,attr"`
	Time     seconds  `xml:"time,attr"`
	Suites   []*suite `xml:"testsuite"`
}

type suite struct {
	Name       string     `xml:"name,attr"`
	Tests      int        `xml:"tests,attr"`
	Failures   int        `xml:"failures,attr"`
	Errors     int        `xml:"errors,attr"`
	Skipped    int        `xml:"skipped,attr"`
	Time       seconds    `xml:"time,attr"`
	Properties []property `xml:"properties>property"`
	Cases      []testcase `xml:"testcase"`
	Out        *text      `xml:"system-out"`
}

type property struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type testcase struct {
	Classname string   `xml:"classname,attr"`
	Name      string   `xml:"name,attr"`
	Time      seconds  `xml:"time,attr"`
	Failure   *problem `xml:"failure"`
	Error     *problem `xml:"error"`
	Skipped   *problem `xml:"skipped"`
	Out       *text    `xml:"system-out"`
}

type problem struct {
	Message string `xml:"message,attr,omitempty"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

type text struct {
	Text string `xml:",chardata"`
}

type seconds time.Duration

func (s seconds) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%.3f", time.Duration(s).Seconds()), nil
}

// Write writes one document.
func Write(w io.Writer, r *model.Report) error {
	doc := suites{}
	for i := range r.Cells {
		s := cellSuite(&r.Cells[i])
		doc.Tests += s.Tests
		doc.Failures += s.Failures
		doc.Errors += s.Errors
		doc.Skipped += s.Skipped
		doc.Time += s.Time
		doc.Suites = append(doc.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", " ")
	if err := e.Encode(&doc); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func cellSuite(c *model.Cell) *suite {
	s := &suite{Name: c.Name, Time: seconds(c.Duration), Properties: []property{{"kernel", clean(c.Kernel)}, {"arch", c.Arch}}}
	if c.LLVM != 0 {
		s.Properties = append(s.Properties, property{"llvm", fmt.Sprint(c.LLVM)})
	}
	if c.Accel != "" {
		s.Properties = append(s.Properties, property{"acceleration", clean(c.Accel)})
	}
	if c.Ran {
		s.Properties = append(s.Properties, property{"lines", c.Summary.Lines.String()})
	}
	bad := false
	for i := range c.Runs {
		bad = s.run(c, &c.Runs[i]) || bad
	}
	s.refused(c, bad)
	for i := range s.Cases {
		x := &s.Cases[i]
		s.Tests++
		switch {
		case x.Error != nil:
			s.Errors++
		case x.Failure != nil:
			s.Failures++
		case x.Skipped != nil:
			s.Skipped++
		}
	}
	return s
}

// run adds the cases of a run and reports whether it went wrong.
func (s *suite) run(c *model.Cell, run *collect.Run) bool {
	class := clean(c.Name + "." + run.Test)
	told := false // a case says that the run went wrong
	for i := range run.Cases {
		k := &run.Cases[i]
		x := testcase{Classname: class, Name: clean(k.Name), Time: seconds(k.Duration)}
		first, _, _ := strings.Cut(k.Message, "\n")
		p := &problem{Message: clean(first), Text: clean(k.Message)}
		switch k.Outcome {
		case collect.Passed:
		case collect.Skipped:
			x.Skipped = p
		default:
			p.Type = string(k.Outcome)
			x.Failure = p
			told = true
		}
		s.Cases = append(s.Cases, x)
	}
	wrong := run.Outcome != collect.Passed && run.Outcome != collect.Skipped
	if len(run.Cases) > 0 && (!wrong || told && run.Outcome == collect.Failed) {
		return wrong
	}
	x := testcase{Classname: class, Name: clean(run.Test), Time: seconds(run.Duration)}
	p := &problem{Message: clean(reason(run)), Type: string(run.Outcome), Text: clean(strings.Join(run.Console, "\n"))}
	switch run.Outcome {
	case collect.Passed:
	case collect.Skipped:
		x.Skipped = p
	case collect.Failed, collect.TimedOut:
		x.Failure = p
	default:
		x.Error = p
	}
	s.Cases = append(s.Cases, x)
	return wrong
}

func reason(run *collect.Run) string {
	switch {
	case run.Reason != "":
		return string(run.Outcome) + ": " + run.Reason
	case run.Signal != "":
		return string(run.Outcome) + ": signal " + run.Signal
	case run.ExitCode != 0:
		return fmt.Sprintf("%s: exit status %d", run.Outcome, run.ExitCode)
	}
	return string(run.Outcome)
}

// refused tells which programs the kernel refused.
func (s *suite) refused(c *model.Cell, bad bool) {
	var out strings.Builder
	for i := range c.Programs {
		p := &c.Programs[i]
		if p.Verdict != collect.VerdictRejected {
			continue
		}
		message := strings.TrimSpace(p.Errno + " " + p.Reason)
		if !bad {
			fmt.Fprintf(&out, "the kernel refused program %s: %s\n", p.Name, message)
			continue
		}
		s.Cases = append(s.Cases, testcase{Classname: clean(c.Name + ".load"), Name: clean(p.Name),
			Failure: &problem{Message: clean(message), Type: "rejected", Text: clean(p.Log)}})
	}
	if out.Len() > 0 {
		s.Out = &text{clean(out.String())}
	}
}

// clean bounds a text and leaves out what XML 1.0 cannot hold and terminals should not get.
func clean(s string) string {
	if len(s) > maxText {
		s = "…" + s[len(s)-maxText:]
	}
	s = sequence.ReplaceAllString(s, "")
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == 0xfffe || r == 0xffff {
			return -1
		}
		return r
	}, s)
}

// sequence is a control sequence of terminals (ECMA-48, 5.4).
var sequence = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`)

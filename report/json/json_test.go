package reportjson

import (
	"bytes"
	"encoding/json"
	"flag"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func fixture(t *testing.T) *model.Report {
	t.Helper()
	r, err := model.Build(modeltest.Data(t), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func write(t *testing.T, r *model.Report, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWrite(t *testing.T) {
	r := fixture(t)
	full := write(t, r, Options{})
	modeltest.Golden(t, "matrix", *update, [2]string{"report.json", string(full)},
		[2]string{"empty.json", string(write(t, &model.Report{Reasons: []string{""}}, Options{}))})

	// What is written by hand must be what encoding/json would make of the document.
	d, err := Read(bytes.NewReader(full))
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, full); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(again), compact.String()); diff != "" {
		t.Errorf("document as encoding/json has it (-), as written (+):\n%s", diff)
	}

	short, err := Read(bytes.NewReader(write(t, r, Options{NoFiles: true})))
	if err != nil {
		t.Fatal(err)
	}
	d.Files = []File{}
	if diff := cmp.Diff(d, short); diff != "" {
		t.Errorf("document without files, want (-), got (+):\n%s", diff)
	}
}

// TestFigures checks that the figures of a cell can be computed from the letters of the files.
func TestFigures(t *testing.T) {
	d, err := Read(bytes.NewReader(write(t, fixture(t), Options{})))
	if err != nil {
		t.Fatal(err)
	}
	count := func(r *Ratio, letter byte) {
		switch d.Statuses[string(letter)] {
		case "hit":
			r.Hit++
			fallthrough
		case "missed", "not-loaded", "rejected":
			r.Total++
		case "eliminated", "not-built", "not-run", "folded":
		default:
			t.Errorf("no meaning of letter %q", letter)
		}
	}
	for i, c := range d.Cells {
		var got Summary
		for _, f := range d.Files {
			for _, l := range f.Lines {
				count(&got.Lines, l.Status[i])
			}
			for _, x := range f.Regions {
				count(&got.Regions, x.Status[i])
			}
			for _, b := range f.Branches {
				count(&got.Branches, b.True.Status[i])
				count(&got.Branches, b.False.Status[i])
			}
			for _, x := range f.Functions {
				count(&got.Functions, x.Status[i])
			}
		}
		want := c.Summary
		want.Lines.Percent, want.Regions.Percent, want.Branches.Percent, want.Functions.Percent = nil, nil, nil, nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, summary (-), from letters (+):\n%s", c.Name, diff)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                "report: EOF",
		"[]":              "report: json: cannot unmarshal",
		`{"schema": 2}`:   "report: schema 2, want 1",
		`{"cells": []}`:   "report: schema 0, want 1",
		`{"schema": 1, "`: "report: unexpected EOF",
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got error %v, want %q", text, err, want)
		}
	}
}

// failing is a full disk.
type failing struct{ room int }

func (f *failing) Write(b []byte) (int, error) {
	if len(b) > f.room {
		return 0, errFull
	}
	f.room -= len(b)
	return len(b), nil
}

var errFull = &json.UnsupportedValueError{Str: "full"}

func TestWriteFails(t *testing.T) {
	r := fixture(t)
	for _, room := range []int{0, 4096, 8192} {
		if err := Write(&failing{room}, r, Options{}); err != errFull {
			t.Errorf("room for %d bytes: got error %v, want %v", room, err, errFull)
		}
	}
}

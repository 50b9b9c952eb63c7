package cobertura_test

import (
	"bytes"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/report/cobertura"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

func write(t *testing.T, r *model.Report, c model.Column) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := cobertura.Write(&b, r, cobertura.Options{Column: c, Time: time.Unix(1800000000, 0), Version: "test"}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDTD lets xmllint (libxml2) check every column against the document type.
func TestDTD(t *testing.T) {
	xmllint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skipf("xmllint is not installed: %v", err)
	}
	r, err := model.Build(modeltest.Data(t), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// A name that XML must escape, and characters that XML 1.0 cannot hold at all.
	r.Files[0].Functions[0].LLVMName = "a<b>&\"\x01\xff"
	dir := t.TempDir()
	validate := func(name string, doc []byte) ([]byte, error) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, doc, 0o666); err != nil {
			t.Fatal(err)
		}
		return exec.Command(xmllint, "--nonet", "--noout", "--dtdvalid", "testdata/coverage-04.dtd", path).CombinedOutput()
	}
	for _, c := range r.Columns() {
		if out, err := validate(r.ColumnName(c)+".xml", write(t, r, c)); err != nil {
			t.Errorf("%s: %v\n%s", r.ColumnName(c), err, out)
		}
	}
	if out, err := validate("empty.xml", write(t, &model.Report{}, model.Merged)); err != nil {
		t.Errorf("empty report: %v\n%s", err, out)
	}
	// The check must be able to fail.
	broken := bytes.Replace(write(t, r, model.Merged), []byte("<methods>"), []byte("<m></m><methods>"), 1)
	if _, err := validate("broken.xml", broken); err == nil {
		t.Error("xmllint accepts a document with an unknown element")
	}
}

// TestFigures computes the figures anew from the lines, as readers do.
func TestFigures(t *testing.T) {
	r, err := model.Build(modeltest.Data(t), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		Number   int    `xml:"number,attr"`
		Hits     uint64 `xml:"hits,attr"`
		Coverage string `xml:"condition-coverage,attr"`
	}
	partial := false // a line of which some sides ran
	for _, c := range r.Columns() {
		var doc struct {
			Covered int    `xml:"lines-covered,attr"`
			Valid   int    `xml:"lines-valid,attr"`
			Rate    string `xml:"line-rate,attr"`
			Classes []struct {
				Filename string `xml:"filename,attr"`
				Lines    []line `xml:"lines>line"`
			} `xml:"packages>package>classes>class"`
		}
		if err := xml.Unmarshal(write(t, r, c), &doc); err != nil {
			t.Fatal(err)
		}
		covered, valid := 0, 0
		for _, x := range doc.Classes {
			for _, l := range x.Lines {
				valid++
				if l.Hits > 0 {
					covered++
				}
				partial = partial || l.Coverage != "" && !strings.HasPrefix(l.Coverage, "0%") && !strings.HasPrefix(l.Coverage, "100%")
			}
		}
		want := r.ColumnSummary(c).Lines
		if covered != want.Hit || valid != want.Total || doc.Covered != want.Hit || doc.Valid != want.Total {
			t.Errorf("%s: got %d of %d in lines and %d of %d in the head, want %v", r.ColumnName(c), covered, valid, doc.Covered, doc.Valid, want)
		}
		if doc.Rate == "1" {
			t.Errorf("%s: line rate 1", r.ColumnName(c))
		}
	}
	if !partial {
		t.Error("no line says that some of its sides ran")
	}
}

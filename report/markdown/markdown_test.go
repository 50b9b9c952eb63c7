package markdown_test

import (
	"bytes"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/markdown"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func write(t *testing.T, r *model.Report, o markdown.Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := markdown.Write(&b, r, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// render makes HTML of a page, as GitHub's dialect has it.
func render(t *testing.T, page string) string {
	t.Helper()
	var b bytes.Buffer
	md := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe()))
	if err := md.Convert([]byte(page), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWrite(t *testing.T) {
	r, err := model.Build(modeltest.Data(t), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	page := write(t, r, markdown.Options{Failed: []string{"lines of all cells: 90.3% is less than 95%"}})
	modeltest.Golden(t, "matrix", *update, [2]string{"summary.md", page}, [2]string{"summary.html", render(t, page)})
}

// TestEscape checks that what guests and builds say stays text.
func TestEscape(t *testing.T) {
	evil := "a|b <img src=x onerror=alert(1)> [x](http://evil) `c` *d* @everyone #1 :x: \x1b[31m\n| new | row |"
	r := &model.Report{Cells: []model.Cell{{Cell: collect.Cell{Kernel: evil}, Name: "6.1", Failure: evil, Console: []string{"</pre><script>x()</script>"}}},
		Warnings: []string{evil}, Files: []model.File{{Name: evil}}}
	out := render(t, write(t, r, markdown.Options{Title: evil, Failed: []string{evil}}))
	for _, bad := range []string{"<img", "<script", "<a ", "<em>", "\x1b", "<td>new"} {
		if strings.Contains(out, bad) {
			t.Errorf("the page has %q:\n%s", bad, out)
		}
	}
	if !strings.Contains(out, "a|b &lt;img src=x onerror=alert(1)&gt; [x](http://evil) `c` *d* @everyone #1 :x:") {
		t.Errorf("the text is not shown as it was:\n%s", out)
	}
}

// TestLimit checks that a page of a large matrix stays below the limit and whole in its markup.
func TestLimit(t *testing.T) {
	r := &model.Report{}
	for i := range 300 {
		r.Cells = append(r.Cells, model.Cell{Name: fmt.Sprintf("6.%d-amd64", i), Ran: true, Failure: "failed", Console: []string{strings.Repeat("x", 7000)}})
	}
	for i := range 20000 {
		r.Files = append(r.Files, model.File{Name: fmt.Sprintf("a/long/folder/name/for/many/files/%d.bpf.c", i)})
	}
	for _, limit := range []int{0, 1, 10000, 100000} {
		page := write(t, r, markdown.Options{Limit: limit})
		want := max(limit, 4096)
		if limit == 0 {
			want = markdown.Limit
		}
		if len(page) > want || !strings.Contains(page, "The page is cut here") {
			t.Errorf("limit %d: %d bytes, ends with %q", limit, len(page), page[len(page)-100:])
		}
		if a, b := strings.Count(page, "<details>"), strings.Count(page, "</details>"); a > b {
			t.Errorf("limit %d: %d details are opened and %d closed", limit, a, b)
		}
	}
}

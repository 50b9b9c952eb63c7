package reporthtml

import (
	"bytes"
	"compress/flate"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/source"
)

//go:embed assets
var assets embed.FS

// scripts and styles are joined in this order.
var (
	scripts = []string{"dom", "data", "status", "route", "tooltip", "highlight", "tree", "rows", "filter", "detail", "source", "matrix", "gaps",
		"functions", "programs", "tests", "search", "keys", "main"}
	styles = []string{"base", "matrix", "source", "tables"}
)

// maxPlain is the largest JSON, in bytes, that is not compressed.
const maxPlain = 32 << 10

// marker is a file that says that the folder is a site of this package, which may be replaced.
const marker = ".bpfcov-html"

// ErrForeign means that the folder of a site holds something else.
var ErrForeign = errors.New("not empty, and no report of an earlier run")

// Options vary the site. The zero value is valid and shows lines without their text.
type Options struct {
	// SourceRoot is the folder that the names of files are relative to; "" shows no sources.
	SourceRoot string
	// Title stands at the top, for example the name of the project.
	Title string
}

// Write makes the site in the folder dir, which it creates. A folder that has anything else in it is refused; a site
// that is there already is replaced.
func Write(dir string, r *model.Report, o Options) error {
	if err := prepare(dir); err != nil {
		return err
	}
	var root *source.Root
	if o.SourceRoot != "" {
		var err error
		if root, err = source.Open(o.SourceRoot); err != nil {
			return fmt.Errorf("sources of the report: %w", err)
		}
		defer root.Close()
	}
	if err := writeAssets(dir); err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	data := func(name string, make func() any) {
		g.Go(func() error { return writeData(dir, name, make()) })
	}
	data("report", func() any { return newReportData(r, o) })
	data("functions", func() any { return newFunctionsData(r) })
	data("programs", func() any { return newProgramsData(r) })
	data("tests", func() any { return newTestsData(r) })
	for k := range r.Files {
		f := &r.Files[k]
		data(fmt.Sprintf("f%d", k), func() any { return newFileData(f, readSource(root, f.Name)) })
	}
	return g.Wait()
}

// prepare makes an empty folder with the marker in it.
func prepare(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case len(entries) > 0:
		if _, err := os.Lstat(filepath.Join(dir, marker)); err != nil {
			return fmt.Errorf("%s: %w (it has no %s); name another folder", dir, ErrForeign, marker)
		}
		for _, name := range []string{"index.html", "app.js", "app.css", "data"} {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, marker), nil, 0o666)
}

func writeAssets(dir string) error {
	index, err := assets.ReadFile("assets/index.html")
	if err != nil {
		return err
	}
	js := bytes.NewBufferString("(() => {\n'use strict';\n")
	for _, name := range scripts {
		if err := join(js, name+".js"); err != nil {
			return err
		}
	}
	js.WriteString("})();\n")
	css := &bytes.Buffer{}
	for _, name := range styles {
		if err := join(css, name+".css"); err != nil {
			return err
		}
	}
	for name, b := range map[string][]byte{"index.html": index, "app.js": js.Bytes(), "app.css": css.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			return err
		}
	}
	return nil
}

func join(to *bytes.Buffer, name string) error {
	b, err := assets.ReadFile("assets/" + name)
	if err != nil {
		return err
	}
	to.Write(b)
	return nil
}

// writeData writes one data file.
func writeData(dir, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(b) > maxPlain {
		if b, err = pack(b); err != nil {
			return err
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "bpfcovData(%q, ", name)
	out.Write(b)
	out.WriteString(")\n")
	return os.WriteFile(filepath.Join(dir, "data", name+".js"), out.Bytes(), 0o666)
}

// pack returns a JavaScript string with base64 of the raw DEFLATE of b.
func pack(b []byte) ([]byte, error) {
	var out strings.Builder
	out.WriteByte('"')
	enc := base64.NewEncoder(base64.StdEncoding, &out)
	z, err := flate.NewWriter(enc, flate.DefaultCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(b); err != nil {
		return nil, err
	}
	if err := errors.Join(z.Close(), enc.Close()); err != nil {
		return nil, err
	}
	out.WriteByte('"')
	return []byte(out.String()), nil
}

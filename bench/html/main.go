// Html measures the HTML report of a large matrix: time to write, size, and how fast Chromium shows it.
//
//	go run ./bench/html -cells 200 -lines 50000
//
// It generates C, compiles it with bin/bpfcov-clang, makes up what each cell counted, and does what `bpfcov report
// --html` does, step by step. It needs what "make" and "scripts/setup.sh test" leave.
package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/report/model"

	reporthtml "github.com/bpfcov/bpfcov/report/html"
)

func main() {
	cells := flag.Int("cells", 200, "number of cells")
	lines := flag.Int("lines", 50000, "number of lines of code, at least")
	files := flag.Int("files", 40, "number of files; the first one has a fifth of the lines")
	dir := flag.String("dir", "build/bench/html", "folder for everything")
	flag.Parse()
	if err := run(*cells, *lines, *files, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench/html:", err)
		os.Exit(1)
	}
}

func run(cells, lines, files int, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	metas, err := compile(filepath.Join(dir, "src"), lines, files)
	if err != nil {
		return err
	}
	covdata := filepath.Join(dir, "covdata")
	for i, c := range matrixCells(cells) {
		if _, err := collect.Save(covdata, []collect.Record{record(i, c, metas)}, filepath.Join(dir, "src", "meta")); err != nil {
			return err
		}
	}

	timer := newTimer()
	data, err := collect.ReadDir(covdata)
	if err != nil {
		return err
	}
	read := timer.lap()
	rep, err := model.Build(data, model.Options{})
	if err != nil {
		return err
	}
	built := timer.lap()
	site := filepath.Join(dir, "site")
	if err := reporthtml.Write(site, rep, reporthtml.Options{SourceRoot: filepath.Join(dir, "src"), Title: "generated"}); err != nil {
		return err
	}
	written := timer.lap()

	counted := 0
	for k := range rep.Files {
		counted += len(rep.Files[k].Lines)
	}
	size, number, err := measure(site)
	if err != nil {
		return err
	}
	first, err := os.Stat(filepath.Join(site, "data", "report.js"))
	if err != nil {
		return err
	}
	zipped, err := zipSize(site)
	if err != nil {
		return err
	}
	fmt.Printf("%d cells, %d files, %d lines of code, %d states\n\n", len(rep.Cells), len(rep.Files), counted, counted*len(rep.Cells))
	fmt.Printf("| what | figure |\n|---|---:|\n")
	fmt.Printf("| read covdata | %s |\n| build the model | %s |\n| write the site | %s |\n", read, built, written)
	fmt.Printf("| size on disk, %d files | %.2f MB |\n| size as a zip | %.2f MB |\n| data of the first page | %.0f kB |\n", number, float64(size)/1e6, float64(zipped)/1e6, float64(first.Size())/1e3)
	return paint(site)
}

// timer measures laps, in time that passed and in processor time: the latter is to be trusted on a machine that does other things.
type timer struct {
	wall time.Time
	cpu  time.Duration
}

func newTimer() *timer { return &timer{time.Now(), cpuTime()} }

func (t *timer) lap() string {
	now := newTimer()
	s := fmt.Sprintf("%.2f s (%.2f s processor)", now.wall.Sub(t.wall).Seconds(), (now.cpu - t.cpu).Seconds())
	*t = *now
	return s
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// compile makes the sources and returns the descriptions of their objects, in the order of the sources' names.
func compile(dir string, lines, files int) ([]*meta.Meta, error) {
	clang, err := filepath.Abs("bin/bpfcov-clang")
	if err != nil {
		return nil, err
	}
	// A .git makes the folder the root that names are relative to.
	for _, d := range []string{"meta", ".git"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o777); err != nil {
			return nil, err
		}
	}
	metaDir, err := filepath.Abs(filepath.Join(dir, "meta"))
	if err != nil {
		return nil, err
	}
	left := lines/functionLines + files
	for i := range files {
		n := left / 5
		if i > 0 {
			n = (left - left/5) / (files - 1)
		}
		name := fmt.Sprintf("unit%02d.bpf.c", i)
		if err := writeSource(filepath.Join(dir, name), n); err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(context.Background(), clang, "-target", "bpf", "-O2", "-g", "-c", name, "-o", fmt.Sprintf("unit%02d.o", i))
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "BPFCOV_META_DIR="+metaDir, "BPFCOV_CLANG="+clangName())
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", name, err, out)
		}
	}
	paths, err := filepath.Glob(filepath.Join(metaDir, "*.meta"))
	if err != nil {
		return nil, err
	}
	var out []*meta.Meta
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return nil, err
		}
		m, err := meta.Decode(f)
		f.Close()
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	if len(out) != files {
		return nil, fmt.Errorf("%d objects have %d descriptions", files, len(out))
	}
	return out, nil
}

func clangName() string {
	if c := os.Getenv("BPFCOV_CLANG"); c != "" {
		return c
	}
	return "clang-19"
}

func measure(dir string) (size int64, number int, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		size += st.Size()
		number++
		return nil
	})
	return size, number, err
}

// zipSize is what CI systems store.
func zipSize(dir string) (int, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.DefaultCompression) })
	if err := z.AddFS(os.DirFS(dir)); err != nil {
		return 0, err
	}
	if err := z.Close(); err != nil {
		return 0, err
	}
	return b.Len(), nil
}

// paint lets Chromium show the site and print rows of the table.
func paint(site string) error {
	cmd := exec.Command("node", "bench/html/paint.mjs", site)
	cmd.Env = append(os.Environ(), "WEBTEST_MODULES=build/webtest")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

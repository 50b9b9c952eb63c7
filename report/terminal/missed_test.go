package terminal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

func TestMissed(t *testing.T) {
	r := build(t, modeltest.Data(t))
	dir := t.TempDir()
	modeltest.Sources(t, dir)
	list := func(o MissedOptions) string {
		t.Helper()
		var b bytes.Buffer
		if err := Missed(&b, r, o); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	source := func(name string) ([]string, error) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		return strings.Split(string(b), "\n"), err
	}
	modeltest.Golden(t, "missed", *update, [2]string{"nowhere.txt", list(MissedOptions{Source: source})},
		[2]string{"somewhere.txt", list(MissedOptions{Source: source, Somewhere: true})},
		[2]string{"nosource.txt", list(MissedOptions{Source: func(string) ([]string, error) { return nil, errors.New("gone") }})})
	r = &model.Report{Files: []model.File{{Name: "a", Lines: []model.Line{{Number: 1, Cells: []model.State{{Status: model.Hit, Count: 1}}}}}}}
	if got := list(MissedOptions{}); got != "Every line that counts was hit.\n" {
		t.Errorf("nothing missed: %q", got)
	}
}

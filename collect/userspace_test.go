package collect

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUserFiles(t *testing.T) {
	a := []UserFile{{LanguageGo, "z.go", []UserBlock{{5, 13, 7, 22, 2}, {7, 22, 9, 3, 0}}}}
	b := []UserFile{{LanguageGo, "a.go", []UserBlock{{1, 1, 3, 1, 0}}}, {LanguageGo, "z.go", []UserBlock{{7, 22, 9, 3, 1<<64 - 1}, {9, 9, 10, 2, 1}}}}
	want := []UserFile{
		{LanguageGo, "a.go", []UserBlock{{1, 1, 3, 1, 0}}},
		{LanguageGo, "z.go", []UserBlock{{5, 13, 7, 22, 2}, {7, 22, 9, 3, 1<<64 - 1}, {9, 9, 10, 2, 1}}},
	}
	if d := cmp.Diff(want, MergeUserFiles(a, b)); d != "" {
		t.Error("merged (-want +got)\n" + d)
	}
	if d := cmp.Diff(want, MergeUserFiles(b, a)); d != "" {
		t.Error("merged the other way round (-want +got)\n" + d)
	}
	numbers, counts := a[0].Lines()
	if d := cmp.Diff(map[int]uint64{5: 2, 6: 2, 7: 2, 8: 0, 9: 0}, counts); d != "" || len(numbers) != 5 || numbers[0] != 5 {
		t.Errorf("lines %v (-want +got)\n%s", numbers, d)
	}
	if numbers, _ := want[0].Lines(); !cmp.Equal(numbers, []int{1, 2}) {
		t.Errorf("a block that ends before the first column of a line: got lines %v, want 1 and 2", numbers)
	}

	// Through a file, and merged by cell.
	var file bytes.Buffer
	rec := &Record{Run: Run{Test: "t", Outcome: Passed}, UserSpace: want}
	if err := EncodeRecord(&file, rec); err != nil {
		t.Fatal(err)
	}
	got, err := DecodeRecord(&file)
	if err != nil {
		t.Fatal(err)
	}
	cells, err := MergeCells([]Record{*got, {Run: Run{Test: "u", Outcome: Passed}}})
	if err != nil || len(cells) != 1 {
		t.Fatalf("got %d cells, %v", len(cells), err)
	}
	if d := cmp.Diff(want, cells[0].UserSpace); d != "" {
		t.Error("(-want +got)\n" + d)
	}
}

// A guest may say anything.
func TestUserFilesRefused(t *testing.T) {
	for name, bad := range map[string]string{
		"no name":      `[{"language":"go","name":"","blocks":[]}]`,
		"line break":   `[{"language":"go","name":"a\nb.go","blocks":[]}]`,
		"line 0":       `[{"language":"go","name":"a.go","blocks":[{"l":0,"c":1,"el":1,"ec":1,"n":1}]}]`,
		"backwards":    `[{"language":"go","name":"a.go","blocks":[{"l":2,"c":1,"el":1,"ec":1,"n":1}]}]`,
		"far":          `[{"language":"go","name":"a.go","blocks":[{"l":1,"c":1,"el":1048577,"ec":1,"n":1}]}]`,
		"twice":        `[{"language":"go","name":"a.go","blocks":[{"l":1,"c":1,"el":1,"ec":2,"n":1},{"l":1,"c":1,"el":1,"ec":2,"n":1}]}]`,
		"not a number": `[{"language":"go","name":"a.go","blocks":[{"l":1,"c":1,"el":1,"ec":2,"n":-1}]}]`,
		"no JSON":      `[`,
	} {
		if f, err := parseUserFiles([]byte(bad)); err == nil {
			t.Errorf("%s: got %v and no error", name, f)
		}
	}
}

package collect

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// UserFile is what a run covered of one source file of a program in user space, for example of the loader.
type UserFile struct {
	Language Language `json:"language"`
	// Name is relative to the repository, with slashes, where it is below it, and else as the language's own tools name the file.
	Name string `json:"name"`
	// Blocks are sorted by position. Two at one position do not occur.
	Blocks []UserBlock `json:"blocks"`
}

// Language is a programming language of user space.
type Language string

// LanguageGo is Go, whose blocks are those of its cover tool.
const LanguageGo Language = "go"

// UserBlock is a stretch of code that runs as a whole, from one position to another. Lines and columns (bytes) count from 1;
// the last column is not part of it.
type UserBlock struct {
	Line      int    `json:"l"`
	Column    int    `json:"c"`
	EndLine   int    `json:"el"`
	EndColumn int    `json:"ec"`
	Count     uint64 `json:"n"` // 0 or 1 with a cover mode of "set"
}

func (b *UserBlock) compare(o *UserBlock) int {
	return cmp.Or(cmp.Compare(b.Line, o.Line), cmp.Compare(b.Column, o.Column), cmp.Compare(b.EndLine, o.EndLine), cmp.Compare(b.EndColumn, o.EndColumn))
}

// maxUserLine bounds what a record can make a reader allocate for lines.
const maxUserLine = 1 << 20

func parseUserFiles(content []byte) ([]UserFile, error) {
	var files []UserFile
	if err := json.Unmarshal(content, &files); err != nil {
		return nil, err
	}
	for i := range files {
		f := &files[i]
		if f.Name == "" || f.Language == "" || strings.ContainsFunc(f.Name+string(f.Language), unicode.IsControl) {
			return nil, fmt.Errorf("file %d has the name %q and the language %q", i, f.Name, f.Language)
		}
		for k := range f.Blocks {
			b := &f.Blocks[k]
			if b.Line < 1 || b.EndLine < b.Line || b.EndLine > maxUserLine || b.Column < 0 || b.EndColumn < 0 {
				return nil, fmt.Errorf("%s: a block from line %d to line %d", f.Name, b.Line, b.EndLine)
			}
			if k > 0 && f.Blocks[k-1].compare(b) >= 0 {
				return nil, fmt.Errorf("%s: blocks are not sorted at line %d", f.Name, b.Line)
			}
		}
	}
	return files, nil
}

// MergeUserFiles adds up the counts of equal blocks (they saturate). The result is sorted by name, then language, and shares nothing with a and b.
func MergeUserFiles(a, b []UserFile) []UserFile {
	type key struct {
		name     string
		language Language
	}
	type position struct{ line, column, endLine, endColumn int }
	all := map[key]map[position]uint64{}
	for _, f := range slices.Concat(a, b) {
		k := key{f.Name, f.Language}
		if all[k] == nil {
			all[k] = make(map[position]uint64, len(f.Blocks))
		}
		for _, x := range f.Blocks {
			at := position{x.Line, x.Column, x.EndLine, x.EndColumn}
			all[k][at] = AddCounts(all[k][at], x.Count)
		}
	}
	var out []UserFile
	for k, blocks := range all {
		f := UserFile{Language: k.language, Name: k.name, Blocks: make([]UserBlock, 0, len(blocks))}
		for at, n := range blocks {
			f.Blocks = append(f.Blocks, UserBlock{at.line, at.column, at.endLine, at.endColumn, n})
		}
		slices.SortFunc(f.Blocks, func(x, y UserBlock) int { return x.compare(&y) })
		out = append(out, f)
	}
	slices.SortFunc(out, func(x, y UserFile) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Language, y.Language))
	})
	return out
}

// Lines returns how often each line of the file ran, by number: of a line in several blocks, the most. The lines of a block
// that only close it are among them, as in other tools that make lines of Go's blocks.
func (f *UserFile) Lines() (numbers []int, counts map[int]uint64) {
	counts = map[int]uint64{}
	for _, b := range f.Blocks {
		last := b.EndLine
		if b.EndColumn <= 1 && last > b.Line {
			last--
		}
		for n := b.Line; n <= last; n++ {
			counts[n] = max(counts[n], b.Count)
		}
	}
	return slices.Sorted(maps.Keys(counts)), counts
}

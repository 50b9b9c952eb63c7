package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/internal/nearest"
	"github.com/bpfcov/bpfcov/internal/strictyaml"
)

// Bounds of a policy file, and the version that this package reads and writes.
const (
	Version  = 1
	maxSize  = 1 << 20
	maxRules = 10000
	maxText  = 1000 // of one value
	maxCells = 1000 // of one found-on
)

// file is the YAML form of a policy. Fields are nodes where their line is wanted for errors.
type file struct {
	Version   int       `yaml:"version"`
	Functions []rule    `yaml:"functions"`
	Refused   []Refused `yaml:"refused"`
}

type rule struct {
	Function string   `yaml:"function"`
	File     string   `yaml:"file,omitempty"`
	Fidelity string   `yaml:"fidelity"`
	Counter  string   `yaml:"counter,omitempty"`
	Reason   string   `yaml:"reason,omitempty"`
	FoundOn  []string `yaml:"found-on,flow,omitempty"`
}

// document is the parsed text with the user's comments.
type document struct{ node *yaml.Node }

// Find returns the path of the policy for code in dir: the nearest [FileName] at or above it, up to the root of the
// repository (the folder with .git). Outside of a repository only dir itself is looked at. It is "" when there is none.
func Find(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	first := ""
	for d := dir; ; d = filepath.Dir(d) {
		name := filepath.Join(d, FileName)
		if fi, err := os.Stat(name); err == nil && fi.Mode().IsRegular() {
			if first == "" {
				first = name
			}
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if _, err := os.Lstat(filepath.Join(d, ".git")); err == nil {
			return first, nil
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	if filepath.Dir(first) == dir {
		return first, nil
	}
	return "", nil
}

// Read reads the policy file at path. Its errors name the file and the line.
func Read(path string) (*Policy, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	p, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Parse reads the text of a policy file.
func Parse(b []byte) (*Policy, error) {
	if len(b) > maxSize {
		return nil, fmt.Errorf("larger than %d bytes", maxSize)
	}
	var y file
	node, err := strictyaml.Decode(b, &y)
	if err != nil {
		return nil, err
	}
	p := &Policy{}
	if node == nil || len(node.Content) == 0 || node.Content[0].Kind != yaml.MappingNode {
		return p, nil
	}
	p.doc = &document{node}
	if y.Version != Version {
		if v := value(node.Content[0], "version"); v != nil {
			return nil, fmt.Errorf("line %d: version %d: this bpfcov understands %d", v.Line, y.Version, Version)
		}
		return nil, fmt.Errorf("version is missing: begin the file with \"version: %d\"", Version)
	}
	if len(y.Functions) > maxRules || len(y.Refused) > maxRules {
		return nil, fmt.Errorf("more than %d entries", maxRules)
	}
	lines := value(node.Content[0], "functions")
	for i, r := range y.Functions {
		rule, err := r.check()
		if err != nil {
			return nil, fmt.Errorf("line %d: functions[%d]: %w", lines.Content[i].Line, i, err)
		}
		p.Rules = append(p.Rules, rule)
	}
	lines = value(node.Content[0], "refused")
	for i, r := range y.Refused {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("line %d: refused[%d]: %w", lines.Content[i].Line, i, err)
		}
		p.AddRefused(r)
	}
	return p, nil
}

// value returns the value of a key of a mapping, nil if there is none.
func value(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

// check is the rule that the YAML form describes.
func (r rule) check() (Rule, error) {
	out := Rule{Function: r.Function, File: r.File, Reason: r.Reason, FoundOn: r.FoundOn}
	if r.Function == "" {
		return out, errors.New("function is missing; \"*\" is every function")
	}
	if err := checkGlob(r.Function); err != nil {
		return out, fmt.Errorf("function: %w", err)
	}
	if err := checkGlob(r.File); err != nil {
		return out, fmt.Errorf("file: %w", err)
	}
	if path.IsAbs(r.File) || r.File == ".." || strings.HasPrefix(r.File, "../") || strings.HasPrefix(r.File, "./") {
		return out, fmt.Errorf("file %q: a path from the root of the repository, such as src/probe.bpf.c", r.File)
	}
	var err error
	if out.Fidelity, err = ParseFidelity(r.Fidelity); err != nil {
		return out, err
	}
	if out.Counter, err = ParseCounter(r.Counter); r.Counter != "" && err != nil {
		return out, err
	}
	if len(r.FoundOn) > maxCells {
		return out, fmt.Errorf("found-on: more than %d cells", maxCells)
	}
	return out, checkText(append(r.FoundOn, r.Reason)...)
}

func (r Refused) check() error {
	if r.Program == "" || r.Error == "" || len(r.FoundOn) == 0 {
		return errors.New("program, error and found-on are all required")
	}
	if len(r.FoundOn) > maxCells {
		return fmt.Errorf("found-on: more than %d cells", maxCells)
	}
	return checkText(append(r.FoundOn, r.Program, r.Error)...)
}

// ParseFidelity reads region, probe, line or off.
func ParseFidelity(s string) (meta.Fidelity, error) {
	var names []string
	for f := meta.Region; f <= meta.Off; f++ {
		if f.String() == s {
			return f, nil
		}
		names = append(names, f.String())
	}
	if s == "" {
		return 0, fmt.Errorf("fidelity is missing: one of %s", strings.Join(names, ", "))
	}
	return 0, fmt.Errorf("fidelity %q: %s", s, oneOf(s, names))
}

// ParseCounter reads atomic or flag.
func ParseCounter(s string) (Counter, error) {
	if c := Counter(s); c == Atomic || c == Flag {
		return c, nil
	}
	return "", fmt.Errorf("counter %q: %s", s, oneOf(s, []string{string(Atomic), string(Flag)}))
}

func oneOf(word string, known []string) string {
	if m := nearest.Match(word, known); m != "" {
		return fmt.Sprintf("did you mean %q?", m)
	}
	return "want one of " + strings.Join(known, ", ")
}

// checkGlob refuses what the readers of the flat form would not read alike.
func checkGlob(glob string) error {
	if strings.ContainsAny(glob, `\{}`) {
		return fmt.Errorf("glob %q: backslashes and braces have no meaning here; write two rules", glob)
	}
	if _, err := path.Match(strings.ReplaceAll(glob, "[!", "[^"), ""); err != nil {
		return fmt.Errorf("glob %q: a set without its end, or empty", glob)
	}
	return checkText(glob)
}

// checkText bounds values and keeps them on one line.
func checkText(values ...string) error {
	for _, v := range values {
		if !utf8.ValidString(v) {
			return fmt.Errorf("%q is not UTF-8", v)
		}
		if len(v) > maxText {
			return fmt.Errorf("a value of %d bytes, want at most %d", len(v), maxText)
		}
		if i := strings.IndexFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
			return fmt.Errorf("%q has a control character or a line break", v)
		}
	}
	return nil
}

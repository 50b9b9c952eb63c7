package policy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// header begins a file that had no comment of its own.
const header = `How bpfcov instruments functions that cannot be loaded with a counter in every region, and what loads fail
without bpfcov as well. "bpfcov run" adds to this file; commit it. Your own rules and comments stay. The first rule
that matches a function wins. See docs/policy.md.`

// Write replaces the file at path in one step, with the comments of the file that p was read from.
func (p *Policy) Write(path string) error {
	b, err := p.Marshal()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+FileName+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	mode := os.FileMode(0o644)
	if fi, serr := os.Stat(path); serr == nil {
		mode = fi.Mode().Perm()
	}
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Marshal returns the text of the policy file. Equal policies that were read from equal texts give equal bytes. What
// it returns is what [Parse] accepts.
func (p *Policy) Marshal() ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	doc := &yaml.Node{Kind: yaml.DocumentNode, HeadComment: header, Content: []*yaml.Node{root}}
	if p.doc != nil {
		doc = cloneNode(p.doc.node)
		root = doc.Content[0]
	} else {
		set(root, "version", scalar(fmt.Sprint(Version)))
	}
	rules := make([]any, len(p.Rules))
	for i, r := range p.Rules {
		rules[i] = rule{r.Function, r.File, r.Fidelity.String(), string(r.Counter), r.Reason, r.FoundOn}
	}
	refused := make([]any, len(p.Refused))
	for i, r := range p.Refused {
		refused[i] = r
	}
	if err := errors.Join(setList(root, "functions", rules), setList(root, "refused", refused)); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		return nil, err
	}
	again, err := Parse(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("would not be read back: %w", err)
	}
	if !again.Equal(p) {
		return nil, errors.New("would not be read back as it is")
	}
	return b.Bytes(), nil
}

// setList gives a key of root the list of values. A node of the list there was whose entry is about the same thing
// keeps its comments, and every key that has not changed its style.
func setList(root *yaml.Node, key string, values []any) error {
	list := value(root, key)
	if list == nil || list.Kind != yaml.SequenceNode {
		if len(values) == 0 {
			return nil
		}
		list = &yaml.Node{Kind: yaml.SequenceNode}
		set(root, key, list)
	}
	old := list.Content
	list.Content = nil
	list.Style = 0
	for _, v := range values {
		n := &yaml.Node{}
		if err := n.Encode(v); err != nil {
			return err
		}
		i := slices.IndexFunc(old, func(o *yaml.Node) bool { return identity(o) == identity(n) })
		if i >= 0 {
			n = update(old[i], n)
			old = slices.Delete(slices.Clone(old), i, i+1)
		}
		list.Content = append(list.Content, n)
	}
	return nil
}

// identity is what an entry of a list is about.
func identity(n *yaml.Node) string {
	var b strings.Builder
	for _, key := range []string{"function", "file", "program", "llvm", "error"} {
		if v := value(n, key); v != nil {
			b.WriteString(v.Value)
		}
		b.WriteByte(0)
	}
	return b.String()
}

// update changes the mapping old to what n says.
func update(old, n *yaml.Node) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i].Value, n.Content[i+1]
		have := value(old, key)
		switch {
		case have == nil:
			set(old, key, v)
		case have.Kind == yaml.ScalarNode && v.Kind == yaml.ScalarNode && have.Value == v.Value:
		case have.Kind == yaml.SequenceNode && sameList(have, v):
		default:
			v.HeadComment, v.LineComment, v.FootComment = have.HeadComment, have.LineComment, have.FootComment
			*have = *v
		}
	}
	for i := 0; i+1 < len(old.Content); {
		if value(n, old.Content[i].Value) == nil {
			old.Content = slices.Delete(old.Content, i, i+2)
			continue
		}
		i += 2
	}
	return old
}

func sameList(a, b *yaml.Node) bool {
	return slices.EqualFunc(a.Content, b.Content, func(x, y *yaml.Node) bool { return x.Value == y.Value })
}

func set(m *yaml.Node, key string, v *yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content[i+1] = v
			return
		}
	}
	m.Content = append(m.Content, scalar(key), v)
}

func scalar(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

func cloneNode(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i := range n.Content {
		c.Content[i] = cloneNode(n.Content[i])
	}
	return &c
}

// Flat writes the rules as the LLVM pass reads them, in order: a line each, of four fields that a TAB separates:
//
//	fidelity TAB counter TAB file glob TAB function glob LF
//
// fidelity is region, probe, line or off; counter is atomic, flag or "-" for what the call says; the file glob is "*"
// for every file. The first line that matches wins. There is nothing else in the file: no comments, no empty lines.
func (p *Policy) Flat(w io.Writer) error {
	bw := bufio.NewWriter(w)
	for _, r := range p.Rules {
		counter, file := string(r.Counter), r.File
		if counter == "" {
			counter = "-"
		}
		if file == "" {
			file = "*"
		}
		fmt.Fprintf(bw, "%s\t%s\t%s\t%s\n", r.Fidelity, counter, file, r.Function)
	}
	return bw.Flush()
}

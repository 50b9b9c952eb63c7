// Package strictyaml reads YAML for people who make typing errors: an unknown key, a key that stands twice, a value of
// the wrong shape, an alias and a second document are errors that name the line and, where there is one, the
// key that was probably meant.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bpfcov/bpfcov/internal/nearest"
)

// Decode reads one document into v, a pointer to a struct with yaml tags, and returns its node, which
// has the comments. It returns nil for a text without a document.
func Decode(b []byte, v any) (*yaml.Node, error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document")
	}
	if err := checkKeys(&doc, v); err != nil {
		return nil, err
	}
	return &doc, doc.Decode(v)
}

// checkKeys compares the keys of n with the yaml tags of v, recursively. yaml's own KnownFields
// names neither the section nor the key that was meant.
func checkKeys(n *yaml.Node, v any) error { return check(n, reflect.TypeOf(v), "") }

func check(n *yaml.Node, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return check(n.Content[0], t, path)
	case yaml.AliasNode:
		return fmt.Errorf("line %d: aliases are not supported; write the value out", n.Line)
	case yaml.SequenceNode:
		if t.Kind() != reflect.Slice {
			return fmt.Errorf("line %d: %s is not a list", n.Line, where(path))
		}
		for i, e := range n.Content {
			if err := check(e, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case yaml.MappingNode:
		if t.Kind() == reflect.Map {
			return nil
		}
		if t.Kind() != reflect.Struct {
			return fmt.Errorf("line %d: %s has no keys of its own", n.Line, where(path))
		}
		return checkStruct(n, t, path)
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return nil
		}
		if t.Kind() == reflect.Struct || t.Kind() == reflect.Slice {
			return fmt.Errorf("line %d: %s: %q is not a %s", n.Line, where(path), n.Value, map[reflect.Kind]string{
				reflect.Struct: "mapping", reflect.Slice: "list",
			}[t.Kind()])
		}
	}
	return nil
}

func checkStruct(n *yaml.Node, t reflect.Type, path string) error {
	fields := map[string]reflect.Type{}
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "-" || name == "" {
			continue
		}
		fields[name] = t.Field(i).Type
		names = append(names, name)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		ft, ok := fields[key.Value]
		if !ok {
			hint := "known keys: " + strings.Join(names, ", ")
			if m := nearest.Match(key.Value, names); m != "" {
				hint = fmt.Sprintf("did you mean %q?", m)
			}
			return fmt.Errorf("line %d: %s: unknown key %q; %s", key.Line, where(path), key.Value, hint)
		}
		if seen[key.Value] {
			return fmt.Errorf("line %d: %s: the key %q stands twice", key.Line, where(path), key.Value)
		}
		seen[key.Value] = true
		if err := check(val, ft, strings.TrimPrefix(path+"."+key.Value, ".")); err != nil {
			return err
		}
	}
	return nil
}

func where(path string) string {
	if path == "" {
		return "top level"
	}
	return path
}

package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestGoFileName(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":               "// a comment\nmodule example.org/probe // another\n\ngo 1.26\n",
		"tools/go.mod":         "module \"example.org/tools/v2\"\n",
		"broken/go.mod":        "modul example.org/broken\n",
		"vendor/x/go.mod":      "module example.org/vendored\n",
		"a/b/c/d/e/f/g/go.mod": "module example.org/deep\n",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	modules := goModules(root)
	for name, want := range map[string]string{
		"example.org/probe/main.go":              "main.go",
		"example.org/probe/load/load.go":         "load/load.go",
		"example.org/tools/v2/gen/gen.go":        "tools/gen/gen.go",
		"example.org/vendored/x.go":              "example.org/vendored/x.go",
		"example.org/deep/x.go":                  "example.org/deep/x.go",
		"example.org/probes/main.go":             "example.org/probes/main.go",
		filepath.Join(root, "scripts", "one.go"): "scripts/one.go",
		"/elsewhere/one.go":                      "/elsewhere/one.go",
	} {
		if got := goFileName(name, root, modules); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLight keeps packages out of the agent whose initialisation an emulated guest feels at each boot.
func TestLight(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	heavy := map[string]bool{"regexp": true, "encoding/gob": true, "net": true, "text/template": true, "net/http": true, "log/slog": true}
	for _, name := range strings.Fields(string(out)) {
		if heavy[name] {
			t.Errorf("the agent links %s", name)
		}
	}
}

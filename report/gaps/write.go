package gaps

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/bpfcov/bpfcov/report/internal/plain"
	"github.com/bpfcov/bpfcov/report/model"
)

// Write writes the groups for people.
func Write(w io.Writer, groups []Group) error {
	b := bufio.NewWriter(w)
	if len(groups) == 0 {
		fmt.Fprintln(b, "Every kernel ran the same code.")
	}
	for i, g := range groups {
		if i > 0 {
			fmt.Fprintln(b)
		}
		fmt.Fprintf(b, "%s: %s\n", title(&g), plain.Clean(strings.Join(g.Causes, "; ")))
		fmt.Fprintf(b, "  not on %s; ran on %s\n", strings.Join(g.Not, " "), strings.Join(g.Ran, " "))
		for _, p := range g.Places {
			fmt.Fprintf(b, "    %s:%s", plain.Clean(p.File), plain.Ranges(p.Ranges))
			if p.Function != "" {
				fmt.Fprintf(b, "  %s", plain.Clean(p.Function))
			}
			if p.Kind == model.KindBranch {
				fmt.Fprintf(b, "  (the %s side of the condition in column %d)", p.Side, p.Col)
			}
			fmt.Fprintln(b)
		}
	}
	return b.Flush()
}

func title(g *Group) string {
	size := fmt.Sprintf("%d lines", g.Lines)
	switch g.Lines {
	case 0:
		size = "branches"
	case 1:
		size = "1 line"
	}
	switch g.Kind {
	case Refused:
		return fmt.Sprintf("Refused on %s (%s)", g.When, size)
	case NeverLoaded:
		return fmt.Sprintf("Never loaded on %s (%s)", g.When, size)
	}
	return fmt.Sprintf("Not run on %s (%s)", g.When, size)
}

// WriteJSON writes {"schema": 1, "groups": […]}.
func WriteJSON(w io.Writer, groups []Group) error {
	if groups == nil {
		groups = []Group{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(struct {
		Schema int     `json:"schema"`
		Groups []Group `json:"groups"`
	}{1, groups})
}

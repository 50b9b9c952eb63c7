package covmap

import (
	"bufio"
	"fmt"
	"io"
)

// Dump writes m as text for people: functions, files, expressions and regions. The text is stable for
// equal mappings, but not a format to be parsed.
func Dump(w io.Writer, m *Mapping) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "mapping version %d (stored as %d), %d functions\n", m.Version, m.Version-1, len(m.Functions))
	for _, f := range m.Functions {
		fmt.Fprintf(b, "function %s name %#016x hash %#016x counters %d", f.Name, f.NameHash, f.Hash, f.NumCounters)
		if f.Dummy() {
			b.WriteString(" dummy")
		}
		b.WriteByte('\n')
		for i, name := range f.Files {
			fmt.Fprintf(b, "  file %d %s\n", i, name)
		}
		for i := range f.Expressions {
			fmt.Fprintf(b, "  expression %d: %v, %v\n", i, f.Expressions[i].Left, f.Expressions[i].Right)
		}
		for i := range f.Regions {
			r := &f.Regions[i]
			fmt.Fprintf(b, "  %s %d %v-%v", r.Kind, r.File, r.Start(), r.End())
			switch {
			case r.Kind == ExpansionRegion:
				fmt.Fprintf(b, " of file %d = %v", r.ExpandedFile, r.Count)
			case r.IsBranch():
				fmt.Fprintf(b, " = %v, %v", r.Count, r.FalseCount)
			case r.Kind == CodeRegion || r.Kind == GapRegion:
				fmt.Fprintf(b, " = %v", r.Count)
			}
			if r.Kind == MCDCDecisionRegion || r.Kind == MCDCBranchRegion {
				fmt.Fprintf(b, " mcdc %v", r.MCDC)
			}
			b.WriteByte('\n')
		}
	}
	return b.Flush()
}

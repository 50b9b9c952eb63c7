// Package llvm writes what LLVM's own tools need to show a report's data: an object that holds the
// coverage mapping, and a text profile with the counters of one cell.
//
//	llvm-profdata merge 6.1-amd64.probe.proftext -o probe.profdata
//	llvm-cov show probe.o -instr-profile probe.profdata
//
// LLVM knows neither cells nor why a counter is 0: code that a verifier removed reads as not covered
// there. Counters of different objects are never in one profile, since LLVM would merge functions of
// equal name and hash whatever their text is.
//
// The profile is the text format of llvm/lib/ProfileData/InstrProfReader.cpp (TextInstrProfReader):
// for each function its name, its structural hash, the number of counters, and these, one a line.
package llvm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/covmap"
	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/bpfcov/bpfcov/report/model"
)

// WriteProfile writes the counters c of the object m. Functions without a counter are left out.
func WriteProfile(w io.Writer, m *meta.Meta, c *collect.ObjectCounters) error {
	if len(c.Counts) != m.NumCounters {
		return fmt.Errorf("object %s: %w: %d counts for %d counters", m.ObjectID.Short(), collect.ErrBuildMismatch, len(c.Counts), m.NumCounters)
	}
	mapping, err := covmap.DecodeSections(m.Covmap, m.Covfun, m.Names, order(m))
	if err != nil {
		return fmt.Errorf("object %s: %w", m.ObjectID.Short(), err)
	}
	if err := c.CheckUnits(m); err != nil {
		return fmt.Errorf("object %s: %w", m.ObjectID.Short(), err)
	}
	c = c.Ungroup(m)
	b := bufio.NewWriter(w)
	for _, f := range mapping.Functions {
		i := slices.IndexFunc(m.Functions, func(x meta.Func) bool { return x.NameHash == f.NameHash && x.Hash == f.Hash })
		if f.Dummy() || i < 0 || m.Functions[i].Count == 0 {
			continue
		}
		x := m.Functions[i]
		if uint64(x.First)+uint64(x.Count) > uint64(len(c.Counts)) {
			return fmt.Errorf("object %s: %w: function %s ends behind the last counter", m.ObjectID.Short(), collect.ErrBuildMismatch, f.Name)
		}
		// The reader takes a line that starts with # for a comment and one with : for a flag.
		if strings.ContainsAny(f.Name, "\r\n") || strings.HasPrefix(f.Name, "#") || strings.HasPrefix(f.Name, ":") {
			return fmt.Errorf("object %s: function name %q cannot be in a text profile", m.ObjectID.Short(), f.Name)
		}
		fmt.Fprintf(b, "%s\n%d\n%d\n", f.Name, f.Hash, x.Count)
		for _, n := range c.Counts[x.First : x.First+x.Count] {
			fmt.Fprintln(b, n)
		}
		b.WriteByte('\n')
	}
	return b.Flush()
}

func order(m *meta.Meta) binary.ByteOrder {
	if m.BigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// File is one file for LLVM's tools.
type File struct {
	Name  string // of the file, without a folder
	Write func(io.Writer) error
}

// Files lists the objects, each once, and a profile for each cell and object with counters.
func Files(r *model.Report, d *collect.Data) ([]File, error) {
	cells, err := collect.MergeCells(d.Records)
	if err != nil {
		return nil, err
	}
	var files []File
	names := map[meta.ObjectID]string{}
	for i := range r.Cells {
		at := slices.IndexFunc(cells, func(c collect.CellData) bool {
			a, b := c.Cell, r.Cells[i].Cell
			return a.Kernel == b.Kernel && a.Arch == b.Arch && a.LLVM == b.LLVM
		})
		if at < 0 {
			continue
		}
		for k := range cells[at].Objects {
			c := &cells[at].Objects[k]
			m := d.Metas[c.ObjectID]
			if m == nil {
				continue
			}
			name := names[c.ObjectID]
			if name == "" {
				base := strings.TrimSuffix(filepath.Base(m.Object), filepath.Ext(m.Object))
				name = fileName(base) + "-" + m.ObjectID.Short()
				names[c.ObjectID] = name
				files = append(files, File{name + ".o", func(w io.Writer) error { return WriteObject(w, m) }})
			}
			files = append(files, File{r.Cells[i].Name + "." + name + ".proftext", func(w io.Writer) error { return WriteProfile(w, m, c) }})
		}
	}
	return files, nil
}

// fileName keeps what is harmless in the name of a file: the name of an object comes from a build.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, s)
}

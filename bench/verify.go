package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// cost is what the kernel says about a loaded program.
type cost struct {
	verified uint32 // instructions that the verifier processed
	xlated   int    // bytes after the verifier's rewriting
	jited    uint32 // bytes of machine code
}

// programCost is a program in all flavours.
type programCost struct {
	name    string
	byFlav  []cost
	problem string // why there is no comparison
}

// benchVerify loads each program of each source on the running kernel, in all flavours. There is nothing to repeat:
// the verifier is deterministic.
func benchVerify(ctx context.Context, o options, args []string) error {
	sources := args
	if len(sources) == 0 {
		for _, s := range []string{"bench/bpf/small.bpf.c", "bench/bpf/large.bpf.c", "examples/filewatch/bpf/filewatch.bpf.c"} {
			sources = append(sources, filepath.Join(o.root, s))
		}
	}
	if err := allowBPF(); err != nil {
		return err
	}
	flavs, err := flavours(ctx, o)
	if err != nil {
		return err
	}
	var all []programCost
	for _, s := range sources {
		costs, err := verifySource(ctx, o, flavs, s)
		if err != nil {
			return err
		}
		all = append(all, costs...)
	}
	return verifyTables(flavs, all)
}

func verifySource(ctx context.Context, o options, flavs []flavour, source string) ([]programCost, error) {
	var out []programCost
	for i, f := range flavs {
		object, err := f.compile(ctx, o, source)
		if err != nil {
			return nil, err
		}
		spec, names, err := programs(object)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", object, err)
		}
		if i == 0 {
			for _, n := range names {
				out = append(out, programCost{name: n})
			}
		}
		for j := range out {
			p := &out[j]
			if p.problem != "" {
				continue
			}
			if !slices.Contains(names, p.name) {
				p.problem = f.name + ": not in the object"
				continue
			}
			progress("%s: %s: %s", filepath.Base(source), p.name, f.name)
			l, err := load(spec, p.name)
			if err != nil {
				p.problem = f.name + ": " + why(err)
				continue
			}
			c, err := costOf(l)
			l.Close()
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", object, p.name, err)
			}
			p.byFlav = append(p.byFlav, c)
		}
	}
	return out, nil
}

func costOf(l *loaded) (cost, error) {
	info, err := l.prog.Info()
	if err != nil {
		return cost{}, err
	}
	var c cost
	var ok bool
	if c.verified, ok = info.VerifiedInstructions(); !ok {
		return c, fmt.Errorf("this kernel does not tell how many instructions it verified; Linux 5.16 does")
	}
	if c.xlated, err = info.TranslatedSize(); err != nil {
		return c, err
	}
	c.jited, err = info.JitedSize()
	return c, err
}

// verifyTables prints a table for each measure, with geometric mean and maximum below, and what does not load.
func verifyTables(flavs []flavour, all []programCost) error {
	for _, m := range []struct {
		heading string
		of      func(cost) float64
	}{
		{"Verified instructions", func(c cost) float64 { return float64(c.verified) }},
		{"Translated bytes", func(c cost) float64 { return float64(c.xlated) }},
		{"Machine code bytes", func(c cost) float64 { return float64(c.jited) }},
	} {
		var t table
		head := []string{"program", flavs[0].name}
		for _, f := range flavs[1:] {
			head = append(head, f.name, "ratio")
		}
		t.row(head...)
		ratios := make([][]float64, len(flavs))
		for _, p := range all {
			if p.problem != "" {
				continue
			}
			plain := m.of(p.byFlav[0])
			row := []string{p.name, fmt.Sprint(plain)}
			for i, c := range p.byFlav[1:] {
				row = append(row, fmt.Sprint(m.of(c)), ratio(m.of(c), plain))
				if plain > 0 && m.of(c) > 0 {
					ratios[i+1] = append(ratios[i+1], m.of(c)/plain)
				}
			}
			t.row(row...)
		}
		mean, most := []string{"geometric mean", ""}, []string{"maximum", ""}
		for _, r := range ratios[1:] {
			mean = append(mean, "", ratio(geomean(r), 1))
			if len(r) > 0 {
				most = append(most, "", ratio(slices.Max(r), 1))
			} else {
				most = append(most, "", "-")
			}
		}
		t.row(mean...)
		t.row(most...)
		if err := t.write(os.Stdout, m.heading); err != nil {
			return err
		}
	}
	t := table{left: 2}
	t.row("not compared", "why")
	for _, p := range all {
		if p.problem != "" {
			t.row(p.name, p.problem)
		}
	}
	if len(t.rows) == 1 {
		return nil
	}
	return t.write(os.Stdout, "Programs that do not load on this kernel")
}

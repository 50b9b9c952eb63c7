package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/bpfcov/bpfcov/verify"
)

// objects are what one compiler made of the sources on one rung.
type objects struct {
	clang, rung string
	inputs      []verify.Input
	failed      map[string]string // object name to the compiler's reason
}

// compile makes the objects of a rung: "plain", "earlier/rmw", or FIDELITY/COUNTER. What is there already is kept: remove the
// folder for another plugin.
func (c *corpus) compile(ctx context.Context, o options, clang, rung string, sources []string) (*objects, error) {
	out := &objects{clang: clang, rung: rung, failed: map[string]string{}}
	dir := filepath.Join(o.work, "obj", "clang-"+clang, strings.ReplaceAll(rung, "/", "-"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	progress("clang-%s %s: %d sources", clang, rung, len(sources))
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(o.jobs)
	inputs := make([]verify.Input, len(sources))
	for i, src := range sources {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			name := strings.TrimSuffix(filepath.Base(src), ".c")
			obj := filepath.Join(dir, name+".o")
			if _, err := os.Stat(obj); err != nil {
				if b, err := os.ReadFile(obj + ".failed"); err == nil {
					mu.Lock()
					out.failed[name+".o"] = string(b)
					mu.Unlock()
					return nil
				}
				if err := c.one(ctx, o, clang, rung, src, obj); err != nil {
					os.Remove(obj)
					os.WriteFile(obj+".failed", []byte(firstError(err)), 0o644)
					mu.Lock()
					out.failed[name+".o"] = firstError(err)
					mu.Unlock()
					return ctx.Err()
				}
			}
			inputs[i] = verify.Input{Name: name + ".o", Path: obj}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, in := range inputs {
		if in.Path != "" {
			out.inputs = append(out.inputs, in)
		}
	}
	if len(out.inputs) == 0 && len(out.failed) == 0 {
		return nil, errNoObjects
	}
	return out, nil
}

func (c *corpus) one(ctx context.Context, o options, clang, rung, src, obj string) error {
	cc := "clang-" + clang
	env := []string{}
	args := c.flags()
	switch rung {
	case "plain":
	default:
		if rung == "earlier/rmw" { // as tools before bpfcov do: load, add and store, before the optimiser runs
			args = append(args, "-mllvm", "-bpfcov-baseline")
			rung = "region/atomic"
		}
		fidelity, counter, ok := strings.Cut(rung, "/")
		if !ok {
			return fmt.Errorf("rung %q: want FIDELITY/COUNTER", rung)
		}
		env = []string{
			"BPFCOV_CLANG=" + cc, "BPFCOV_FIDELITY=" + fidelity, "BPFCOV_COUNTER=" + counter, "BPFCOV_POLICY=none",
			"BPFCOV_META_DIR=" + filepath.Join(filepath.Dir(obj), "meta"),
		}
		cc = filepath.Join(o.root, "bin", "bpfcov-clang")
	}
	cmd := exec.CommandContext(ctx, cc, append(args, "-c", src, "-o", obj)...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	return nil
}

// firstError is the line in which a compiler says what is wrong.
func firstError(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for _, l := range lines {
		if _, text, ok := strings.Cut(l, "error: "); ok {
			return text
		}
	}
	return lines[0]
}

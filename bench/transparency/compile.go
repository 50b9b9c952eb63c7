package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
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
	case "earlier/rmw":
		return c.earlier(ctx, cc, src, obj)
	default:
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
	return compiler(ctx, env, nil, nil, cc, append(args, "-c", src, "-o", obj)...)
}

func compiler(ctx context.Context, env []string, stdin []byte, stdout *bytes.Buffer, cc string, args ...string) error {
	cmd := exec.CommandContext(ctx, cc, args...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	if stdout != nil {
		cmd.Stdout = stdout
	}
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

// earlier compiles as tools before bpfcov do: every counter becomes load, add and store before the optimiser runs. clang's front end
// makes the increments (without mapping, which costs nothing at run time); here each is replaced in the text of the IR; the
// same clang optimises and emits the result.
func (c *corpus) earlier(ctx context.Context, cc, src, obj string) error {
	var ir bytes.Buffer
	args := append(c.flags(), "-fprofile-instr-generate", "-Xclang", "-disable-llvm-passes", "-emit-llvm", "-S", "-o", "-", src)
	if err := compiler(ctx, nil, nil, &ir, cc, args...); err != nil {
		return err
	}
	text, err := lowerEarly(ir.String())
	if err != nil {
		return err
	}
	return compiler(ctx, nil, []byte(text), nil, cc, "-g", "-O2", "-target", "bpf", "-mcpu=v3", "-Wno-override-module", "-x", "ir", "-c", "-", "-o", obj)
}

var (
	incrementRE = regexp.MustCompile(`^\s*(?:tail )?call void @llvm\.instrprof\.increment\(ptr (@[^,]+), i64 -?\d+, i32 (\d+), i32 (\d+)\)(.*)$`)
	stepRE      = regexp.MustCompile(`^\s*(?:tail )?call void @llvm\.instrprof\.increment\.step\(ptr (@[^,]+), i64 -?\d+, i32 (\d+), i32 (\d+), i64 (\S+)\)(.*)$`)
)

// lowerEarly replaces the increments in the text of a module.
func lowerEarly(ir string) (string, error) {
	var out strings.Builder
	arrays := map[string]string{} // by the name variable
	n := 0
	for line := range strings.Lines(ir) {
		line = strings.TrimSuffix(line, "\n")
		m, step := incrementRE.FindStringSubmatch(line), "1"
		if m == nil {
			if s := stepRE.FindStringSubmatch(line); s != nil {
				step = s[4]
				m = []string{s[0], s[1], s[2], s[3], s[5]}
			}
		}
		switch {
		case m != nil:
			array := "@bpfcov_earlier_" + strings.Trim(strings.TrimPrefix(m[1], "@"), `"`)
			array = strings.Map(func(r rune) rune {
				if r == '@' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
					return r
				}
				return '_'
			}, array)
			size, err := strconv.Atoi(m[2])
			if err != nil {
				return "", err
			}
			arrays[array] = fmt.Sprintf("[%d x i64]", size)
			n++
			dbg := m[4]
			if i := strings.Index(dbg, "!dbg"); i >= 0 {
				dbg = ", " + dbg[i:]
			} else {
				dbg = ""
			}
			p, v := fmt.Sprintf("%%bpfcov.p%d", n), fmt.Sprintf("%%bpfcov.v%d", n)
			fmt.Fprintf(&out, "  %s = getelementptr inbounds %s, ptr %s, i32 0, i32 %s%s\n", p, arrays[array], array, m[3], dbg)
			fmt.Fprintf(&out, "  %s.0 = load i64, ptr %s, align 8%s\n  %s.1 = add i64 %s.0, %s%s\n  store i64 %s.1, ptr %s, align 8%s\n", v, p, dbg, v, v, step, dbg, v, p, dbg)
		case strings.Contains(line, "declare void @llvm.instrprof."):
		default:
			out.WriteString(line + "\n")
		}
	}
	var used []string
	for name, typ := range arrays {
		fmt.Fprintf(&out, "%s = internal global %s zeroinitializer, section \".data.bpfcov\", align 8\n", name, typ)
		used = append(used, "ptr "+name)
	}
	if len(used) > 0 && !strings.Contains(ir, "@llvm.compiler.used =") {
		fmt.Fprintf(&out, "@llvm.compiler.used = appending global [%d x ptr] [%s], section \"llvm.metadata\"\n", len(used), strings.Join(used, ", "))
	}
	return out.String(), nil
}

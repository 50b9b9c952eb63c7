package instrument

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// ExitEnvironment is the exit status when clang or its plugin is missing. Every other status is
// clang's own.
const ExitEnvironment = 3

// Main is bpfcov-clang: clang with these arguments (without the program's name), whose exit status it
// returns. A call that compiles C to an object for a bpf target is instrumented, every other one
// reaches clang unchanged. When stdout and stderr are the process's own, an unchanged call replaces
// the process and Main does not return.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintf(stderr, "bpfcov-clang: %v\n", err)
		return ExitEnvironment
	}
	if os.Getenv(guardVar) != "" {
		return fail(errors.New("the clang that was found leads back to bpfcov-clang: set BPFCOV_CLANG to the real one"))
	}
	clang, err := clangPath(ctx)
	if err != nil {
		return fail(err)
	}
	if os.Getenv("BPFCOV_DISABLE") == "1" || !mayBeBPF(args) || untouched(args) {
		return passThrough(ctx, clang, args, stdout, stderr)
	}
	p, ok := makePlan(ctx, clang, args)
	if !ok {
		return passThrough(ctx, clang, args, stdout, stderr)
	}
	plugin, err := EnsurePlugin(ctx, p.clang)
	if err != nil {
		return fail(err)
	}
	c, err := makeChoices(p.sources)
	if err != nil {
		return fail(err)
	}
	code, err := emitObject(ctx, plugin, c, p, args, stdout, stderr)
	if err != nil {
		return fail(err)
	}
	if code != 0 {
		return code
	}
	for _, object := range p.objects {
		warning, err := writeSidecars(object, p.clang)
		if err != nil {
			// Like clang, leave nothing that make would take for done.
			for _, o := range p.objects {
				os.Remove(o)
			}
			return fail(err)
		}
		if warning != nil {
			fmt.Fprintf(stderr, "bpfcov-clang: warning: %v\n", warning)
		}
	}
	return 0
}

// passThrough runs clang with the caller's arguments, less the pass's own options, which clang does
// not know without the plugin.
func passThrough(ctx context.Context, clang string, args []string, stdout, stderr io.Writer) int {
	args = withoutPassOptions(args)
	if stdout == os.Stdout && stderr == os.Stderr {
		err := syscall.Exec(clang, append([]string{clang}, args...), childEnv())
		fmt.Fprintf(stderr, "bpfcov-clang: %s: %v\n", clang, err)
		return ExitEnvironment
	}
	return run(ctx, clang, args, stdout, stderr)
}

// withoutPassOptions drops pairs "-mllvm -bpfcov-…" and "-mllvm=-bpfcov-…".
func withoutPassOptions(args []string) []string {
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		if args[i] == "-mllvm" && i+1 < len(args) && strings.HasPrefix(args[i+1], "-bpfcov-") {
			i++
			continue
		}
		if strings.HasPrefix(args[i], "-mllvm=-bpfcov-") {
			continue
		}
		out = append(out, args[i])
	}
	return out
}

// run is one call of clang; the result is its exit status, 128+n after signal n.
func run(ctx context.Context, clang string, args []string, stdout, stderr io.Writer) int {
	return runWith(ctx, clang, args, nil, false, stdout, stderr)
}

// runWith is run with the given standard input instead of the process's own, if own is set.
func runWith(ctx context.Context, clang string, args []string, stdin io.Reader, own bool, stdout, stderr io.Writer) int {
	cmd := exec.CommandContext(ctx, clang, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, stderr
	if own {
		cmd.Stdin = stdin
	}
	cmd.Env = childEnv()
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal())
		}
		return exit.ExitCode()
	}
	fmt.Fprintf(stderr, "bpfcov-clang: %s: %v\n", clang, err)
	return ExitEnvironment
}

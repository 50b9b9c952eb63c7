package instrument

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/instrument/policy"
)

// cannotEmit matches what the BPF back end says of code that it cannot write down: a frame that is too large
// (llvm/lib/Target/BPF/BPFRegisterInfo.cpp), a jump that is too far (BPFAsmBackend.cpp, BPFMIPeephole.cpp), and
// what ends code generation in general.
var cannotEmit = regexp.MustCompile(`error: .*(BPF stack limit|out of insn range|ran out of registers|error in backend)`)

// emitObject is the instrumented call of clang. Where clang cannot emit the instrumented code and can emit the plain
// one, it is compiled again a rung lower, and a note says so. The result is the exit status of clang, whose messages
// are those of the last try or, if the plain code fails too, of that.
func emitObject(ctx context.Context, plugin string, c *choices, p plan, args []string, stdout, stderr io.Writer) (int, error) {
	var input []byte
	if slices.Contains(p.sources, "-") {
		var err error
		if input, err = io.ReadAll(os.Stdin); err != nil { // there may be several tries
			return 0, err
		}
	}
	color := isTerminal(stderr)
	try := func(args []string) (code int, out, messages string) {
		var o, m bytes.Buffer
		if color {
			args = append([]string{"-fcolor-diagnostics"}, args...)
		}
		code = runWith(ctx, p.clang.Path, args, bytes.NewReader(input), input != nil, &o, &m)
		return code, o.String(), m.String()
	}
	instrumented := func() (code int, out, messages string, err error) {
		passArgs, remove, err := c.passArgs()
		if err != nil {
			return 0, "", "", err
		}
		defer remove()
		code, out, messages = try(append(coverageArgs(plugin, passArgs, args), args...))
		return code, out, messages, nil
	}
	code, out, messages, err := instrumented()
	if err != nil {
		return 0, err
	}
	from, because := c.unit, ""
	for plain := false; code != 0 && ctx.Err() == nil; {
		why := reason(messages)
		next, ok := policy.StepDown(c.unit)
		if why == "" || !ok {
			break
		}
		if !plain {
			plainCode, plainOut, plainMessages := try(withoutPassOptions(args))
			if plainCode != 0 {
				code, out, messages = plainCode, plainOut, plainMessages
				break
			}
			plain = true
		}
		if because == "" {
			because = why
		}
		c.lowerAll(next)
		if code, out, messages, err = instrumented(); err != nil {
			return 0, err
		}
	}
	io.WriteString(stdout, out)
	io.WriteString(stderr, messages)
	if code == 0 && because != "" {
		fmt.Fprintf(stderr, "bpfcov-clang: note: %s: clang cannot emit it at %s (%s): all of its functions are at %s\n",
			strings.Join(p.sources, " "), from, because, c.unit)
	}
	return code, nil
}

// colors are the escape sequences of colored messages.
var colors = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// reason is the back end's error among clang's messages, "" when there is none.
func reason(messages string) string {
	for line := range strings.Lines(colors.ReplaceAllString(messages, "")) {
		if !cannotEmit.MatchString(line) {
			continue
		}
		_, why, _ := strings.Cut(strings.TrimSpace(line), "error: ")
		why, _, _ = strings.Cut(why, ". Please")
		return why
	}
	return ""
}

// lowerAll puts every function at rung or below.
func (c *choices) lowerAll(rung policy.Rung) {
	c.unit = rung
	for i := range c.rules {
		r := &c.rules[i].Rung
		r.Fidelity = max(r.Fidelity, rung.Fidelity)
		if rung.Counter == policy.Flag {
			r.Counter = policy.Flag
		}
	}
}

// isTerminal reports whether w is a terminal, in which case clang would use colors.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

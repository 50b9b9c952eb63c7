package instrument

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// plan is what a call of clang is going to do, according to clang itself.
type plan struct {
	clang Clang
	// Objects are the outputs of the jobs that compile C to an object for a bpf target, as named on
	// the command line or chosen by clang, relative to the working folder.
	objects []string
	// sources are the main files of those jobs, in the same order, "-" for standard input.
	sources []string
}

// mayBeBPF is a cheap answer to "could this call compile for a bpf target?", so that the calls for
// the host, most of them in a mixed build, start no extra process. Response and configuration files
// hide arguments, and clang's own options (CCC_OVERRIDE_OPTIONS) are rare enough to ignore.
func mayBeBPF(args []string) bool {
	for _, a := range args {
		if strings.Contains(a, "bpf") || strings.HasPrefix(a, "@") || strings.HasPrefix(a, "--config") {
			return true
		}
	}
	return false
}

// untouched lists options that make a call one about the compiler itself. -v is among them because
// scripts read the include path from it.
func untouched(args []string) bool {
	for _, a := range args {
		switch a {
		case "-###", "-v", "--verbose", "--version", "--help", "-help", "-dumpversion", "-dumpmachine", "-cc1", "-cc1as":
			return true
		case "--":
			return false
		}
	}
	return false
}

// makePlan asks clang with -### which jobs it would run: only clang knows its options, defaults,
// response files and configuration files on every major. ok is false when the call is not one to
// instrument, errors included, for clang must report those itself.
func makePlan(ctx context.Context, clang string, args []string) (p plan, ok bool) {
	cmd := exec.CommandContext(ctx, clang, append([]string{"-###"}, args...)...)
	cmd.Env = childEnv()
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil {
		return p, false
	}
	return parsePlan(clang, out.String())
}

// parsePlan reads the output of clang -###: version lines, then one line a job in which every
// argument is quoted.
func parsePlan(clang, text string) (p plan, ok bool) {
	p.clang.Path = clang
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if p.clang.Major == 0 && p.clang.parseVersion(line) {
			continue
		}
		if !strings.HasPrefix(line, ` "`) {
			continue
		}
		job := splitJob(line)
		if len(job) < 2 || job[1] != "-cc1" && job[1] != "-cc1as" {
			return p, false // a linker or a foreign tool: not compile-to-object
		}
		if out, ok := objectJob(job); ok {
			p.objects = append(p.objects, out)
			p.sources = append(p.sources, job[len(job)-1]) // where clang's driver puts it
		}
	}
	return p, p.clang.Major != 0 && len(p.objects) > 0
}

// objectJob reports whether a job turns C into an object for a bpf target, and which.
func objectJob(job []string) (out string, ok bool) {
	if job[1] != "-cc1" || !slices.Contains(job, "-emit-obj") {
		return "", false
	}
	value := func(option string) string {
		if i := slices.Index(job, option); i >= 0 && i+1 < len(job) {
			return job[i+1]
		}
		return ""
	}
	triple := value("-triple")
	arch, _, _ := strings.Cut(triple, "-")
	if arch != "bpf" && arch != "bpfel" && arch != "bpfeb" {
		return "", false
	}
	if value("-x") != "c" {
		return "", false
	}
	return value("-o"), true
}

// splitJob takes a line of -### apart. Arguments are in double quotes, with a backslash before a
// quote, a backslash and a dollar sign (llvm::sys::printArg).
func splitJob(line string) []string {
	var args []string
	var cur strings.Builder
	inside, escaped := false, false
	for _, c := range []byte(line) {
		switch {
		case escaped:
			cur.WriteByte(c)
			escaped = false
		case inside && c == '\\':
			escaped = true
		case c == '"':
			if inside {
				args = append(args, cur.String())
				cur.Reset()
			}
			inside = !inside
		case inside:
			cur.WriteByte(c)
		}
	}
	return args
}

// coverageArgs are the options that make clang instrument. They go in front of the caller's, because
// those may end in "--", and because the last of two contradicting options wins: the caller's.
func coverageArgs(plugin string, passArgs, args []string) []string {
	out := []string{
		"-fprofile-instr-generate", "-fcoverage-mapping",
		// Both: only then is -mllvm -bpfcov-… known on every major.
		"-fplugin=" + plugin, "-fpass-plugin=" + plugin,
		"-mllvm", "-enable-name-compression=false",
	}
	return slices.Concat(out, passArgs, pathArgs(args))
}

// pathArgs make the mapping name its files relative to the repository, so that an object does not
// depend on where it was built. A caller who maps paths himself is left alone.
//
// The mapping has a compilation folder that its readers join relative names to. That becomes the
// working folder relative to the root ("src/bpf"), and absolute names below the root get the way back
// up instead of the root ("../../"), so that the two join to a clean path.
func pathArgs(args []string) []string {
	for _, a := range args {
		for _, own := range []string{"-fcoverage-prefix-map", "-ffile-prefix-map", "-fcoverage-compilation-dir", "-ffile-compilation-dir", "-working-directory"} {
			if strings.HasPrefix(a, own) {
				return nil
			}
		}
	}
	cwd, err := filepath.Abs(".") // honours PWD, as clang does
	if err != nil {
		return nil
	}
	root := repositoryRoot(cwd)
	rel, err := filepath.Rel(root, cwd)
	if err != nil {
		return nil
	}
	up := ""
	if rel != "." {
		up = strings.Repeat("../", strings.Count(rel, "/")+1)
	}
	out := []string{"-fcoverage-compilation-dir=" + rel, "-fcoverage-prefix-map=" + withSlash(root) + "=" + up}
	if real, err := filepath.EvalSymlinks(root); err == nil && real != root {
		out = append(out, "-fcoverage-prefix-map="+withSlash(real)+"="+up)
	}
	return out
}

func withSlash(dir string) string { return strings.TrimSuffix(dir, "/") + "/" }

// repositoryRoot is the nearest folder at or above dir with a .git (a folder, or a file in worktrees
// and submodules), else dir.
func repositoryRoot(dir string) string {
	for d := dir; ; d = filepath.Dir(d) {
		if exists(filepath.Join(d, ".git")) {
			return d
		}
		if d == filepath.Dir(d) {
			return dir
		}
	}
}

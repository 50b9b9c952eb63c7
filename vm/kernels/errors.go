package kernels

import (
	"fmt"
	"strings"
)

// A SpecError says why a kernel spec or an architecture name is not understood. It is a usage error.
type SpecError struct {
	Spec   string
	Reason string
}

func (e *SpecError) Error() string {
	return fmt.Sprintf("kernel %q: %s", e.Spec, e.Reason)
}

// A ToolError says that a program this machine lacks is needed. It is an error of the environment.
type ToolError struct {
	Tool string // "apt-get"
	Spec string // what needed it
	Err  error  // of exec.LookPath
}

func (e *ToolError) Error() string {
	return fmt.Sprintf("kernel %s: %s is not on this machine: apt specs need a Debian or Ubuntu host; "+
		"use file:PATH with a local kernel instead: %v", e.Spec, e.Tool, e.Err)
}

func (e *ToolError) Unwrap() error { return e.Err }

// A FetchError says that the archives could not be read or a package could not be fetched or verified. It is an
// error of the environment.
type FetchError struct {
	What   string // "index of trixie for arm64", "linux-image-6.1.0-53-cloud-amd64=6.1.187-1"
	Output string // the telling lines of apt's output
	Err    error
}

func (e *FetchError) Error() string {
	if e.Output == "" {
		return fmt.Sprintf("fetch %s: %v", e.What, e.Err)
	}
	return fmt.Sprintf("fetch %s: %v: %s", e.What, e.Err, strings.ReplaceAll(e.Output, "\n", "; "))
}

func (e *FetchError) Unwrap() error { return e.Err }

// gone reports whether the archive was reached and does not have the file.
func (e *FetchError) gone() bool {
	return strings.Contains(e.Output, "404  Not Found") || strings.Contains(e.Output, "File not found")
}

// maxListed bounds the versions that the text of a [*NoMatchError] lists.
const maxListed = 30

// A NoMatchError says that a spec matches nothing, and what there is instead. It is a usage error.
type NoMatchError struct {
	Spec string
	Arch string // GOARCH
	// Have are the kernels of the same suite and architecture, newest first; empty when the suite has none.
	Have []Candidate
	// NoSuite is true when no archive has the suite; Suites are then the host's own suites, else those looked at.
	NoSuite bool
	Suites  []string
}

func (e *NoMatchError) Error() string {
	var b strings.Builder
	if e.NoSuite {
		return fmt.Sprintf("kernel %s: no archive of the host's apt sources has this suite; the host uses %s, "+
			"and others of the same mirror can be named too", e.Spec, strings.Join(e.Suites, ", "))
	}
	fmt.Fprintf(&b, "kernel %s: nothing matches on %s", e.Spec, e.Arch)
	if len(e.Have) == 0 {
		fmt.Fprintf(&b, ": no kernel in %s", strings.Join(e.Suites, ", "))
		return b.String()
	}
	b.WriteString("; there is:")
	// One line a version: cloud, generic and rt kernels come together.
	type row struct{ version, flavours, suite string }
	var rows []row
	for _, c := range e.Have {
		v, _ := splitRelease(c.Release)
		if i := len(rows) - 1; i >= 0 && rows[i].version == v && rows[i].suite == c.Suite {
			rows[i].flavours += " " + c.Flavour
			continue
		}
		rows = append(rows, row{v, c.Flavour, c.Suite})
	}
	for i, r := range rows {
		if i == maxListed {
			fmt.Fprintf(&b, "\n  and %d older ones", len(rows)-i)
			break
		}
		fmt.Fprintf(&b, "\n  %-24s %-24s %s", r.version, r.suite, r.flavours)
	}
	return b.String()
}

// A ModuleError says that a kernel has no such module, or that the module cannot be read.
type ModuleError struct {
	Release  string // of the kernel
	Module   string
	NeededBy string // the module that depends on it, "" when it was asked for
	Err      error
}

func (e *ModuleError) Error() string {
	need := ""
	if e.NeededBy != "" {
		need = " (needed by " + e.NeededBy + ")"
	}
	return fmt.Sprintf("kernel %s: module %s%s: %v", e.Release, e.Module, need, e.Err)
}

func (e *ModuleError) Unwrap() error { return e.Err }

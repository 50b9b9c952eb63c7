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

// A NoMatchError says that a spec matches nothing, and what there is instead. It is a usage error.
type NoMatchError struct {
	Spec string
	Arch string // GOARCH
	// Have are the kernels of the same suite and architecture, newest first; empty when the suite has none.
	Have []Candidate
	// Suites are the suites that were looked at.
	Suites []string
}

func (e *NoMatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "kernel %s: nothing matches on %s", e.Spec, e.Arch)
	if len(e.Have) == 0 {
		fmt.Fprintf(&b, ": no kernel in %s", strings.Join(e.Suites, ", "))
		return b.String()
	}
	b.WriteString("; there is:")
	for _, c := range e.Have {
		fmt.Fprintf(&b, "\n  %-10s %-40s %s", c.Flavour, c.Release, c.Suite)
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

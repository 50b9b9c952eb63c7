package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/policy"
	"github.com/bpfcov/bpfcov/vm/matrix"
)

// reportPolicy says what a run changed in the policy, and what it could not help.
func reportPolicy(stdout io.Writer, p matrix.PolicyResult) {
	if len(p.Changes) > 0 {
		fmt.Fprintln(stdout, "\npolicy:")
	}
	for _, c := range p.Changes {
		fmt.Fprintln(stdout, "  "+c)
	}
	if p.Changed {
		path := relative(p.Path)
		fmt.Fprintf(stdout, "\n%s has changed: commit it, and the next run takes one pass\n", path)
		if os.Getenv("GITHUB_ACTIONS") == "true" {
			// docs.github.com, "Workflow commands": a line of the log that becomes an annotation.
			fmt.Fprintf(stdout, "::warning file=%s,title=bpfcov policy::%s has changed; commit what bpfcov run wrote%%0A%s\n",
				escapeProperty(path), escapeCommand(path), escapeCommand(strings.Join(p.Changes, "\n")))
		}
	}
	for _, o := range p.Open {
		warn("%s", o)
	}
}

// escapeCommand keeps a text on one line of GitHub's workflow commands; escapeProperty does so for a property.
func escapeCommand(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func escapeProperty(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(escapeCommand(s))
}

// hintPolicy says, after `bpfcov exec`, what to do about programs with counters that the kernel refused.
func hintPolicy(rec *collect.Record) {
	for _, p := range rec.Programs {
		if p.Verdict == collect.VerdictRejected && len(p.Refused) > 0 {
			warn("program %s was refused: %s: %s; if it loads without bpfcov, `bpfcov run` finds out which functions to instrument less "+
				"(%s)", p.Name, p.Errno, p.Reason, policy.FileName)
		}
	}
}

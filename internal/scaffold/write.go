package scaffold

import (
	"fmt"
	"strings"
)

// Kernels are those that a new configuration starts with: what long-term users have, and the newest.
func Kernels() []string { return []string{"apt:bullseye", "apt:bookworm", "apt:trixie"} }

// Config is the text of bpfcov.yaml.
func (p *Project) Config() string {
	var b strings.Builder
	b.WriteString("# Written by bpfcov init; what each key means is in docs/config.md of bpfcov.\n")
	for _, m := range p.Missing {
		fmt.Fprintf(&b, "# TO DO: %s.\n", m)
	}
	b.WriteString("\n# Once for each architecture; CLANG and BPF2GO_CC are bpfcov-clang, and what is put into\n# BPFCOV_BUILD_DIR goes into the guest.\nbuild: |\n")
	for _, l := range p.Build {
		b.WriteString("  " + l + "\n")
	}
	b.WriteString("\ntests:\n")
	for _, t := range p.Tests {
		words := make([]string, len(t.Command))
		for i, w := range t.Command {
			words[i] = fmt.Sprintf("%q", w)
		}
		fmt.Fprintf(&b, "  - name: %q\n    command: [%s]\n", t.Name, strings.Join(words, ", "))
	}
	b.WriteString("\nmatrix:\n  kernels:\n")
	for _, k := range Kernels() {
		fmt.Fprintf(&b, "    - %s\n", k)
	}
	fmt.Fprintf(&b, "  arch: [%s]\n\nreport:\n  junit: true\n", strings.Join(p.Arch, ", "))
	return b.String()
}

// Workflow is the text of a workflow for GitHub Actions.
func (p *Project) Workflow() string {
	return `# Written by bpfcov init; more in docs/ci.md of bpfcov.
name: bpfcov
on:
  push: {branches: [main]}
  pull_request:

permissions:
  contents: read

jobs:
  coverage:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v4
        with: {fetch-depth: 0}
      - uses: bpfcov/bpfcov@main
`
}

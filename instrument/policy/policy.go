// Package policy says how each function is instrumented: the file bpfcov.policy.yaml, which `bpfcov run` writes and
// its user commits.
//
//	version: 1
//	functions:
//	  - function: "handle_*"      # glob on the C function name
//	    file: "bpf/*.bpf.c"       # glob on the repository-relative path; optional
//	    fidelity: line            # region | probe | line | off
//	    counter: flag             # atomic | flag; optional
//	    reason: "verifier: R2 min value is negative"
//	    found-on: [5.10-amd64]
//	refused:                      # loads that the kernel refuses without instrumentation, too
//	  - program: "try_ringbuf"
//	    llvm: 19
//	    error: "EINVAL: unknown func bpf_ringbuf_output#130"
//	    found-on: [5.4-amd64]
//
// The first matching rule of functions wins; a function without one is instrumented as the compiler call says, which
// is at region fidelity with atomic counters.
//
// In a glob, "*" stands for any number of characters, "/" among them, "?" for one, and "[a-c]" and "[!a-c]" for one of
// a set. That is fnmatch(3) without flags; backslashes and braces, on which implementations differ, are refused.
package policy

import (
	"path"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// FileName is what [Find] looks for.
const FileName = "bpfcov.policy.yaml"

// Counter is how a counter is updated.
type Counter string

// The counters. The zero value leaves the choice to the compiler call.
const (
	Atomic Counter = "atomic" // 64 bits, counts
	Flag   Counter = "flag"   // one byte, set to 1
)

// Rung is one way to instrument a function.
type Rung struct {
	Fidelity meta.Fidelity
	Counter  Counter
}

func (r Rung) String() string {
	if r.Fidelity == meta.Off || r.Counter == "" {
		return r.Fidelity.String()
	}
	return r.Fidelity.String() + "/" + string(r.Counter)
}

// Rungs returns the ladder, most exact first. Measured over Linux 6.1's BPF selftests no single rung above off loads
// every program that loads plain, and together they do.
func Rungs() []Rung {
	return []Rung{
		{meta.Region, Atomic},
		{meta.Region, Flag},
		{meta.Probe, Flag},
		{meta.Line, Flag},
		{meta.Off, ""},
	}
}

// StepDown returns the rung below r: the first of [Rungs] that costs more exactness. ok is false below off.
func StepDown(r Rung) (next Rung, ok bool) {
	if r.Counter == "" {
		r.Counter = Atomic
	}
	for _, s := range Rungs() {
		if s.Fidelity > r.Fidelity || s.Fidelity == r.Fidelity && s.Counter == Flag && r.Counter == Atomic {
			return s, true
		}
	}
	return Rung{Fidelity: meta.Off}, false
}

// Rule says how the functions that it matches are instrumented.
type Rule struct {
	// Function is a glob on the C function name, File on the repository-relative path of the file that defines it;
	// an empty File matches every file.
	Function, File string
	Rung
	// Reason is one line for people, FoundOn the cells that made it necessary, for example "5.10-amd64".
	Reason  string
	FoundOn []string
}

// Matches reports whether the rule is about a function. An empty file, of a function whose file is not known, is
// matched by rules without one only.
func (r Rule) Matches(file, function string) bool {
	return match(r.Function, function) && (r.File == "" || match(r.File, file))
}

// names reports whether the rule is about exactly this function.
func (r Rule) names(file, function string) bool {
	return r.Function == function && r.File == file && !strings.ContainsAny(file+function, special)
}

// Refused is a program that a kernel refuses without instrumentation, too. Loaders probe for features with loads
// that are expected to fail; remembering them spares every later run the same experiment.
type Refused struct {
	Program string `yaml:"program"` // as the kernel knows it, at most 15 characters
	// LLVM is the major version of the compiler, 0 if not known: what one compiles to something that no kernel takes,
	// another may not.
	LLVM int `yaml:"llvm,omitempty"`
	// Error is what the kernel said of the instrumented program. With another error, it is another case.
	Error string `yaml:"error"`
	// FoundOn are the cells, for example "5.10-amd64".
	FoundOn []string `yaml:"found-on,flow"`
}

// same reports whether two entries differ in their cells at most.
func (r Refused) same(s Refused) bool {
	return r.Program == s.Program && r.LLVM == s.LLVM && r.Error == s.Error
}

// Policy is the content of a policy file. The zero value says nothing and is valid.
type Policy struct {
	Rules   []Rule
	Refused []Refused

	doc *document // of the file that it was read from
}

// Match returns the first rule for a function.
func (p *Policy) Match(file, function string) (Rule, bool) {
	if p != nil {
		for _, r := range p.Rules {
			if r.Matches(file, function) {
				return r, true
			}
		}
	}
	return Rule{}, false
}

// Set makes r the rule for the function that it names, ahead of every glob that matches it. Its FoundOn is added to
// what the rule had. A rule of the user's that names the function is changed.
func (p *Policy) Set(r Rule) {
	at := len(p.Rules)
	for i, have := range p.Rules {
		if have.names(r.File, r.Function) {
			for _, on := range have.FoundOn {
				if !slices.Contains(r.FoundOn, on) {
					r.FoundOn = append(slices.Clone(r.FoundOn), on)
				}
			}
			p.Rules[i] = r
			return
		}
		if have.Matches(r.File, r.Function) {
			at = i
			break
		}
	}
	p.Rules = slices.Insert(p.Rules, at, r)
}

// AddRefused remembers a program that is refused plain, in one or more cells.
func (p *Policy) AddRefused(r Refused) {
	for i := range p.Refused {
		have := &p.Refused[i]
		if !have.same(r) {
			continue
		}
		for _, on := range r.FoundOn {
			if !slices.Contains(have.FoundOn, on) {
				have.FoundOn = append(slices.Clone(have.FoundOn), on)
			}
		}
		return
	}
	p.Refused = append(p.Refused, r)
}

// KnowsRefused reports whether r is remembered for all of its cells.
func (p *Policy) KnowsRefused(r Refused) bool {
	if p == nil {
		return false
	}
	i := slices.IndexFunc(p.Refused, r.same)
	return i >= 0 && !slices.ContainsFunc(r.FoundOn, func(on string) bool { return !slices.Contains(p.Refused[i].FoundOn, on) })
}

// Equal reports whether two policies say the same.
func (p *Policy) Equal(q *Policy) bool {
	return slices.EqualFunc(p.Rules, q.Rules, func(a, b Rule) bool {
		return a.Function == b.Function && a.File == b.File && a.Rung == b.Rung && a.Reason == b.Reason &&
			slices.Equal(a.FoundOn, b.FoundOn)
	}) && slices.EqualFunc(p.Refused, q.Refused, func(a, b Refused) bool { return a.same(b) && slices.Equal(a.FoundOn, b.FoundOn) })
}

// Clone returns a copy that shares nothing that changes, and that is written over the same file.
func (p *Policy) Clone() *Policy {
	return &Policy{Rules: slices.Clone(p.Rules), Refused: slices.Clone(p.Refused), doc: p.doc}
}

// special are the characters of a glob that do not stand for themselves.
const special = "*?[]"

// match applies a valid glob. The standard library's stops at "/", so there is none: it becomes a character that no
// name has.
func match(glob, name string) bool {
	const slash = "\x01"
	glob = strings.ReplaceAll(strings.ReplaceAll(glob, "[!", "[^"), "/", slash)
	ok, err := path.Match(glob, strings.ReplaceAll(name, "/", slash))
	return err == nil && ok
}

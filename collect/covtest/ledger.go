//go:build linux

package covtest

import (
	"slices"

	"github.com/bpfcov/bpfcov/collect"
)

// ledger gives what was counted between two marks to the test that ran meanwhile. While several run, and while none does, it is
// nobody's: counts are never given twice.
type ledger struct {
	last    []collect.ObjectCounters
	running []string
	tests   map[string]*entry
	order   []string
}

type entry struct {
	objects []collect.ObjectCounters
	outcome collect.Outcome
}

// mark books what was counted since the last mark.
func (l *ledger) mark(now []collect.ObjectCounters) {
	if len(l.running) == 1 {
		e := l.tests[l.running[0]]
		for _, d := range difference(l.last, now) {
			i := slices.IndexFunc(e.objects, func(o collect.ObjectCounters) bool { return o.ObjectID == d.ObjectID })
			if i < 0 {
				e.objects = append(e.objects, d)
				continue
			}
			if d.Width == 1 {
				d.Maps = 0
			}
			// Equal ids are equal builds; the error cannot be.
			_ = collect.Merge(&e.objects[i], d)
		}
	}
	l.last = now
}

func (l *ledger) start(test string, now []collect.ObjectCounters) {
	l.mark(now)
	if l.tests == nil {
		l.tests = map[string]*entry{}
	}
	if l.tests[test] == nil {
		l.tests[test] = &entry{}
		l.order = append(l.order, test)
	}
	l.running = append(l.running, test)
}

func (l *ledger) end(test string, outcome collect.Outcome, now []collect.ObjectCounters) {
	l.mark(now)
	if i := slices.Index(l.running, test); i >= 0 {
		l.running = slices.Delete(l.running, i, i+1)
		l.tests[test].outcome = outcome
	}
}

// rest takes what was given to tests off the whole.
func (l *ledger) rest(whole []collect.ObjectCounters) []collect.ObjectCounters {
	for _, e := range l.tests {
		whole = difference(e.objects, whole)
	}
	return whole
}

// difference returns the counts of now less those of was, with the states and flows of now. Objects stay, also without counts: they
// were loaded.
func difference(was, now []collect.ObjectCounters) []collect.ObjectCounters {
	out := slices.Clone(now)
	for i := range out {
		o := &out[i]
		o.Counts = slices.Clone(o.Counts)
		j := slices.IndexFunc(was, func(w collect.ObjectCounters) bool { return w.ObjectID == o.ObjectID && len(w.Counts) == len(o.Counts) })
		if j < 0 {
			continue
		}
		for n, c := range was[j].Counts {
			o.Counts[n] -= min(c, o.Counts[n])
		}
		o.Maps = max(0, o.Maps-was[j].Maps)
	}
	return out
}

package covmap

import "fmt"

// lines calls emit for each line with code, in ascending order. It is LLVM's LineCoverageStats.
func (e *evaluation) lines(segments []Segment, emit func(line int, count uint64)) error {
	var wrapped *Segment // the last one before the line
	for i := 0; i < len(segments); {
		line := segments[i].Line
		// Lines without a segment of their own belong to the region that they are inside of.
		if wrapped != nil && wrapped.HasCount {
			if err := e.spend(line - wrapped.Line); err != nil {
				return err
			}
			for l := wrapped.Line + 1; l < line; l++ {
				emit(l, wrapped.Count)
			}
		}
		first := i
		for i < len(segments) && segments[i].Line == line {
			i++
		}
		if count, mapped := e.lineCount(segments[first:i], wrapped, e.skippedWins()); mapped {
			if err := e.spend(1); err != nil {
				return err
			}
			emit(line, count)
		}
		wrapped = &segments[i-1]
	}
	return nil
}

// skippedWins reports whether a line that starts with skipped text has no count even when code starts
// on it, the rule up to LLVM 17 (llvm-project pull request 78033 changed it).
func (e *evaluation) skippedWins() bool { return e.options.LLVM > 0 && e.options.LLVM < 18 }

// lineCount returns the value of a line with those segments. wrapped is the last one before it or nil.
func (e *evaluation) lineCount(segments []Segment, wrapped *Segment, skippedWins bool) (count uint64, mapped bool) {
	skippedFirst := segments[0].Entry && !segments[0].HasCount
	starts := false // a region with code starts here; gaps are never entries
	for i := range segments {
		starts = starts || segments[i].Entry && segments[i].HasCount
	}
	inside := wrapped != nil && wrapped.HasCount
	if skippedFirst && (skippedWins || !starts) || !inside && !starts {
		return 0, false
	}
	if wrapped != nil {
		count = wrapped.Count
	}
	for i := range segments {
		if s := &segments[i]; s.Entry && s.HasCount {
			count = e.max(count, s.Count)
		}
	}
	return count, true
}

// spend takes n lines from what one evaluation may describe.
func (e *evaluation) spend(n int) error {
	if e.linesLeft -= n; e.linesLeft < 0 {
		return &FormatError{Offset: -1, Reason: fmt.Sprintf("more than %d lines with code", maxLines)}
	}
	return nil
}

// max is the greater of two values.
func (e *evaluation) max(a, b uint64) uint64 {
	if e.recorder != nil {
		return e.recorder.Max(a, b)
	}
	return max(a, b)
}

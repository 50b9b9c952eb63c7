package model

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bpfcov/bpfcov/collect"
)

// kernelVersion is the number at the start of a release: "6.1.0-37-cloud-amd64" is {6, 1, 0}.
// ok is false when the release does not start with a number.
func kernelVersion(release string) (v [3]int, ok bool) {
	rest := release
	for i := range v {
		n := 0
		for n < len(rest) && n < 9 && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		if n == 0 {
			break
		}
		v[i], _ = strconv.Atoi(rest[:n]) // at most nine digits
		ok = true
		if n == len(rest) || rest[n] != '.' {
			break
		}
		rest = rest[n+1:]
	}
	return v, ok
}

// nameCells gives each cell the shortest name that is unique: "6.1-amd64", then with the patch level,
// then with the compiler, then with the whole release, at last with a number.
func nameCells(cells []Cell) {
	short := func(c collect.Cell, parts int) string {
		v, ok := kernelVersion(c.Kernel)
		if !ok {
			return cmp.Or(c.Kernel, c.Spec, "unknown")
		}
		n := fmt.Sprintf("%d.%d", v[0], v[1])
		if parts > 2 {
			n += fmt.Sprintf(".%d", v[2])
		}
		return n
	}
	llvm := func(c collect.Cell) string {
		if c.LLVM == 0 {
			return ""
		}
		return fmt.Sprintf("-llvm%d", c.LLVM)
	}
	forms := []func(collect.Cell) string{
		func(c collect.Cell) string { return short(c, 2) + "-" + c.Arch },
		func(c collect.Cell) string { return short(c, 3) + "-" + c.Arch },
		func(c collect.Cell) string { return short(c, 2) + "-" + c.Arch + llvm(c) },
		func(c collect.Cell) string { return short(c, 3) + "-" + c.Arch + llvm(c) },
		func(c collect.Cell) string { return cmp.Or(c.Kernel, c.Spec) + "-" + c.Arch },
		func(c collect.Cell) string { return cmp.Or(c.Kernel, c.Spec) + "-" + c.Arch + llvm(c) },
	}
	names := make([]string, len(cells))
	for _, form := range forms {
		seen := map[string]bool{}
		for i := range cells {
			names[i] = flagName(form(cells[i].Cell))
			seen[names[i]] = true
		}
		if len(seen) == len(cells) {
			break
		}
	}
	used := map[string]bool{}
	for i, n := range names {
		for k := 2; used[n]; k++ {
			suffix := fmt.Sprintf("-%d", k)
			n = names[i][:min(len(names[i]), maxFlag-len(suffix))] + suffix
		}
		used[n] = true
		cells[i].Name = n
	}
}

// maxFlag is the length, in bytes, that Codecov's older parts accept as a flag.
const maxFlag = 45

// flagName keeps letters, digits, '_' and '.' and makes one '-' of everything between them.
func flagName(s string) string {
	words := strings.FieldsFunc(s, func(r rune) bool {
		return r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	s = strings.Join(words, "-")
	return s[:min(len(s), maxFlag)]
}

// sortedKeys is the keys of m in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// KernelVersion is the number at the start of a kernel's release: "6.1.0-37-cloud-amd64" is {6, 1, 0}.
// ok is false when the release does not start with one.
func KernelVersion(release string) (v [3]int, ok bool) { return kernelVersion(release) }

// Package matrix turns the matrix of a configuration into cells and runs them: it builds the tests
// once per architecture, fetches the kernels, boots as many cells at once as the machine bears and
// leaves covdata behind. It makes no report.
package matrix

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bpfcov/bpfcov/internal/config"
	"github.com/bpfcov/bpfcov/internal/nearest"
)

// Arches lists the architectures that guests can have, as GOARCH names.
func Arches() []string { return []string{"amd64", "arm64", "ppc64le", "riscv64", "s390x"} }

// Point is one place of the matrix before its kernel is known: a kernel spec and a GOARCH.
type Point struct {
	Spec, Arch string
}

func (p Point) String() string { return p.Spec + " on " + p.Arch }

// Expand lists the points of m: each kernel on each architecture in the order of the configuration,
// without the excluded ones, then the included ones. A point stands once. It fails when nothing is
// left, on an unknown architecture and on an exclusion that excludes nothing.
func Expand(m config.Matrix) ([]Point, error) {
	archList := m.Arch
	if len(archList) == 0 {
		archList = []string{"amd64"}
	}
	if err := checkArches(archList); err != nil {
		return nil, err
	}
	used := make([]bool, len(m.Exclude))
	var points []Point
	for _, spec := range m.Kernels {
		for _, arch := range archList {
			out := false
			for i, x := range m.Exclude {
				if (x.Kernel == "" || x.Kernel == spec) && (x.Arch == "" || x.Arch == arch) {
					used[i], out = true, true
				}
			}
			if p := (Point{spec, arch}); !out && !slices.Contains(points, p) {
				points = append(points, p)
			}
		}
	}
	for i, ok := range used {
		if !ok {
			x := m.Exclude[i]
			return nil, fmt.Errorf("matrix.exclude[%d] (kernel %q, arch %q) excludes nothing", i, x.Kernel, x.Arch)
		}
	}
	for i, c := range m.Include {
		if c.Kernel == "" || c.Arch == "" {
			return nil, fmt.Errorf("matrix.include[%d] needs both a kernel and an arch", i)
		}
		if err := checkArches([]string{c.Arch}); err != nil {
			return nil, err
		}
		if p := (Point{c.Kernel, c.Arch}); !slices.Contains(points, p) {
			points = append(points, p)
		}
	}
	if len(points) == 0 {
		return nil, fmt.Errorf("the matrix is empty: name kernels in matrix.kernels or with --kernel, for example apt:bookworm")
	}
	return points, nil
}

func checkArches(list []string) error {
	for _, a := range list {
		if slices.Contains(Arches(), a) {
			continue
		}
		hint := ""
		if alias := map[string]string{"x86_64": "amd64", "x86": "amd64", "aarch64": "arm64", "riscv": "riscv64", "ppc64el": "ppc64le", "powerpc64le": "ppc64le", "s390": "s390x"}[a]; alias != "" {
			hint = fmt.Sprintf("; did you mean %q?", alias)
		} else if m := nearest.Match(a, Arches()); m != "" {
			hint = fmt.Sprintf("; did you mean %q?", m)
		}
		return fmt.Errorf("unknown architecture %q (want one of %s)%s", a, strings.Join(Arches(), ", "), hint)
	}
	return nil
}

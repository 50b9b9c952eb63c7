package matrix

import (
	"context"
	"fmt"
	"slices"

	"github.com/bpfcov/bpfcov/vm/kernels"
)

// Resolve replaces each point whose spec means several kernels (apt:SUITE/each-minor, bucket:DIR) by a point for each
// of them. lock may be nil. A point stands once.
func Resolve(ctx context.Context, store *kernels.Store, lock *kernels.Lock, points []Point) ([]Point, error) {
	var out []Point
	for _, p := range points {
		specs, err := store.ExpandLocked(ctx, lock, p.Spec, p.Arch)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		for _, s := range specs {
			q := p
			q.Spec = s
			if !slices.Contains(out, q) {
				out = append(out, q)
			}
		}
	}
	return out, nil
}

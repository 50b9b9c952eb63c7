package verify

import (
	"context"
	"time"
)

// Host loads the programs of the inputs for which want is true (nil: all) into the running kernel, as one cell.
func Host(ctx context.Context, inputs []Input, want func(file, program string) bool) (*Cell, error) {
	k, err := RunningKernel()
	if err != nil {
		return nil, err
	}
	l, err := NewLoader(Options{})
	if err != nil {
		return nil, err
	}
	c := &Cell{Name: "host", Kernel: k}
	start := time.Now()
	err = l.Files(inputs, want, func(string, string) error { return context.Cause(ctx) }, func(r Result) error {
		c.Results = append(c.Results, r)
		return nil
	})
	c.Took = time.Since(start)
	return c, err
}

package vm

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A deadline is put off by what the guest did not get, and by no more than its bound.
func TestDeadline(t *testing.T) {
	for _, tt := range []struct {
		name  string
		share float64 // of the time, in which the guest waits for a processor
		want  time.Duration
	}{
		{"all for the guest", 0, 10 * time.Second},
		{"half of it", 0.5, 20 * time.Second},
		{"nothing at all", 1, 110 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				starved := func() time.Duration { return time.Duration(tt.share * float64(time.Since(start))) }
				fired := make(chan time.Duration, 2)
				l := newDeadline(10*time.Second, starved, func() { fired <- time.Since(start) })
				if got := <-fired; (got - tt.want).Abs() > 100*time.Millisecond {
					t.Errorf("fired after %v, want %v", got, tt.want)
				}
				l.Reset(time.Second)
				time.Sleep(time.Minute)
				if len(fired) != 0 {
					t.Error("it fired twice")
				}
			})
		})
	}
}

func TestDeadlineReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fired atomic.Bool
		l := newDeadline(10*time.Second, func() time.Duration { return 0 }, func() { fired.Store(true) })
		for range 5 {
			time.Sleep(9 * time.Second)
			l.Reset(10 * time.Second)
		}
		l.Stop()
		time.Sleep(time.Minute)
		if fired.Load() {
			t.Error("fired after Reset and Stop")
		}
	})
}

package vm

import (
	"sync"
	"time"
)

// maxStretch bounds by how many times its length a deadline is put off.
const maxStretch = 10

// deadline ends a wait for a guest. Time during which the guest was ready to run and the machine had other work for its
// processors does not count: an emulated guest beside many others is slow, and not lost.
type deadline struct {
	starved func() time.Duration // so far, as [qemu.VM.Starved]
	fire    func()

	mu      sync.Mutex
	timer   *time.Timer
	seen    time.Duration // of starved, when the timer was set
	spare   time.Duration // what may still be added
	stopped bool
}

func newDeadline(d time.Duration, starved func() time.Duration, fire func()) *deadline {
	l := &deadline{starved: starved, fire: fire, seen: starved(), spare: maxStretch * d}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(d, l.over)
	return l
}

// over puts the deadline off by what the guest did not get, or fires.
func (l *deadline) over() {
	l.mu.Lock()
	now := l.starved()
	more := min(now-l.seen, l.spare)
	if l.stopped {
		l.mu.Unlock()
		return
	}
	if more > 10*time.Millisecond {
		l.seen, l.spare = now, l.spare-more
		l.timer.Reset(more)
		l.mu.Unlock()
		return
	}
	l.stopped = true
	l.mu.Unlock()
	l.fire()
}

// Reset starts the wait anew, unless it is over.
func (l *deadline) Reset(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	l.seen, l.spare = l.starved(), maxStretch*d
	l.timer.Reset(d)
}

// Stop ends the wait.
func (l *deadline) Stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	l.timer.Stop()
}

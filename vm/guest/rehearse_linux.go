package guest

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// rehearse does all that a test takes once, before the machine is saved: it follows orders that bring a file, and runs a
// program under the watcher. What is done the first time only (threads, the runtime's poller, what package os finds out about
// the kernel, pages that are read or made) is then in the saved state, and no resumed guest does it again.
func rehearse(o Options) error {
	const file = "/.rehearsal"
	defer unix.Unlink(file)
	spareThreads()
	job, err := Job{Tests: []Test{{Name: "rehearsal", Command: []string{InitPath}, Timeout: 10 * time.Second}}}.Encode()
	if err != nil {
		return err
	}
	seed := make([]byte, 64)
	if _, err := unix.Getrandom(seed, unix.GRND_NONBLOCK); err != nil {
		return fmt.Errorf("getrandom: %w", err)
	}
	content := strings.NewReader("rehearsal")
	var orders bytes.Buffer
	err = Send(&orders, Resume{time.Now(), seed}, []File{{Path: file, Mode: 0o700, Size: content.Size()}},
		func(int) (io.ReadCloser, error) { return io.NopCloser(content), nil }, job)
	if err != nil {
		return err
	}
	j, err := followOrders(&orders)
	if err != nil {
		return err
	}
	s := newSender(io.Discard)
	if err := s.hello(o, j); err != nil {
		return err
	}
	// InitPath is the agent, which ends when it is not PID 1.
	if err := runTest(s, o, j, 0, j.Tests[0]); err != nil {
		return err
	}
	tidyUp()
	if o.Prepare != nil {
		if err := o.Prepare(); err != nil {
			return err
		}
	}
	if spare, err = newOutput(); err != nil {
		return err
	}
	runtime.Gosched() // the spare output comes to where it waits
	return nil
}

// spareThreads has the runtime start threads for what a test has waiting in the kernel at one time, as it does for system calls that
// take long. It comes before the program runs whose end leaves the kernel a stack for the next thread or process.
func spareThreads() {
	const threads = 8
	long := unix.NsecToTimespec(int64(100 * time.Millisecond))
	var all sync.WaitGroup
	for range threads {
		all.Go(func() { unix.Nanosleep(&long, nil) })
	}
	all.Wait()
}

package guest

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bpfcov/bpfcov/collect"
)

// work does the job. It returns nil when the end message was written.
func work(o Options, dog *time.Timer) error {
	b, err := readSmall(JobPath)
	if err != nil {
		return err
	}
	job, err := DecodeJob(b)
	if err != nil {
		return err
	}
	for _, m := range job.PortModules {
		if err := m.load(); err != nil && !m.Optional {
			return err
		}
	}
	if size, ok := param(ShellParam); ok {
		return shell(job, size)
	}
	p, err := openPort()
	if err != nil {
		return err
	}
	var s *sender
	if job.Warm {
		s, job, err = beWarm(p, o, job, dog)
	} else {
		s, err = beCold(p, o, job)
	}
	if err != nil {
		return err
	}
	for i, t := range job.Tests {
		if err := runTest(s, o, job, i, t); err != nil {
			return err
		}
	}
	if err := s.send(KindEnd, End{Runs: len(job.Tests)}.encode()); err != nil {
		return err
	}
	time.Sleep(endTime)
	return nil
}

// That a write to the port has returned does not mean that the host has it: the port's driver queues it (port_fops_write in
// drivers/char/virtio_console.c), and newer kernels reset devices when they power off (virtio_dev_shutdown in
// drivers/virtio/virtio.c), with what QEMU has not come to read. readTime is for QEMU to read, endTime for the host to end the
// machine, as it does when it has the end message.
const (
	readTime = time.Second
	endTime  = 20 * time.Second
)

// beCold says hello before all else, so that what fails next can be reported.
func beCold(p *port, o Options, job *Job) (*sender, error) {
	s := newSender(p)
	if err := s.hello(o, job); err != nil {
		return nil, err
	}
	if err := setClock(); err != nil {
		s.log(err)
	}
	errs, err := prepare(job)
	for _, err := range errs {
		s.log(err)
	}
	if err != nil {
		s.log(err)
		time.Sleep(readTime) // or nobody would read it
		return nil, err
	}
	return s, nil
}

// beWarm prepares the machine before it is saved, and says hello when it has been resumed and has its orders.
func beWarm(p *port, o Options, job *Job, dog *time.Timer) (*sender, *Job, error) {
	errs, err := prepare(job)
	if err != nil {
		return nil, nil, err
	}
	if err := rehearse(o); err != nil {
		errs = append(errs, fmt.Errorf("rehearsal: %w", err))
	}
	job, err = takeOrders(p)
	if err != nil {
		return nil, nil, err
	}
	if limit := job.Limit(); limit > watchdogTime/2 {
		dog.Reset(limit)
	}
	s := newSender(p)
	if err := s.hello(o, job); err != nil {
		return nil, nil, err
	}
	for _, err := range errs {
		s.log(err)
	}
	return s, job, nil
}

// sender owns the port: all messages pass through it, one at a time. A goroutine of its own that writes would cost an emulated guest
// more than the writes. The host reads all the time; where it does not, its deadlines end the machine.
type sender struct {
	mu  sync.Mutex
	enc *Encoder
	err error // of the first write that failed
}

func newSender(w io.Writer) *sender { return &sender{enc: NewEncoder(w)} }

// send writes a message.
func (s *sender) send(k Kind, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = s.enc.Encode(k, payload)
	}
	return s.err
}

// uname is uname(2), once: a resumed guest knows it.
var uname = sync.OnceValues(func() (u unix.Utsname, err error) { return u, unix.Uname(&u) })

func (s *sender) hello(o Options, job *Job) error {
	u, err := uname()
	if err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	up, err := uptime()
	if err != nil {
		return err
	}
	return s.send(KindHello, Hello{
		Release: unix.ByteSliceToString(u.Release[:]), Machine: unix.ByteSliceToString(u.Machine[:]),
		Arch: runtime.GOARCH, Version: o.Version, Tests: len(job.Tests), Uptime: up,
	}.encode())
}

// log sends a line; that the port is dead shows at the next message that matters.
func (s *sender) log(err error) {
	text := err.Error()
	if len(text) > 4096 {
		text = text[:4096]
	}
	s.send(KindLog, []byte(text))
}

func encodeRecord(r *collect.Record) ([]byte, error) {
	var b bytes.Buffer
	if err := collect.EncodeRecord(&b, r); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

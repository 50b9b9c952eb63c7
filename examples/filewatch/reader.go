package filewatch

import (
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/perf"
	"github.com/cilium/ebpf/ringbuf"
)

// perCPUBuffer is the size of the perf buffer of one CPU, in bytes.
const perCPUBuffer = 256 << 10

// recordReader is the common part of the ring buffer's reader and the perf buffer's.
type recordReader interface {
	// read waits for one record. It returns no record and a positive number when records were
	// lost. The record is valid until the next call.
	read() (raw []byte, lost uint64, err error)
	SetDeadline(time.Time)
	// Flush makes read return what there is and then ErrFlushed of its package.
	Flush() error
	Close() error
}

type ringReader struct {
	*ringbuf.Reader
	record ringbuf.Record
}

func newRingReader(m *ebpf.Map) (recordReader, error) {
	r, err := ringbuf.NewReader(m)
	if err != nil {
		return nil, err
	}
	return &ringReader{Reader: r}, nil
}

func (r *ringReader) read() ([]byte, uint64, error) {
	err := r.ReadInto(&r.record)
	return r.record.RawSample, 0, err
}

type perfReader struct {
	*perf.Reader
	record perf.Record
}

func newPerfReader(m *ebpf.Map) (recordReader, error) {
	r, err := perf.NewReader(m, perCPUBuffer)
	if err != nil {
		return nil, err
	}
	return &perfReader{Reader: r}, nil
}

func (r *perfReader) read() ([]byte, uint64, error) {
	err := r.ReadInto(&r.record)
	return r.record.RawSample, r.record.LostSamples, err
}

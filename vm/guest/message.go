package guest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bpfcov/bpfcov/collect"
)

// Hello is the first message: the machine is up and its port works.
type Hello struct {
	Release string `json:"release"` // uname -r
	Machine string `json:"machine"` // uname -m
	Arch    string `json:"arch"`    // GOARCH of the agent
	Version string `json:"version"` // of the agent
	Tests   int    `json:"tests"`   // how many runs will follow
	// Uptime is the guest's time since its kernel started.
	Uptime time.Duration `json:"uptime_ns"`
}

// RunStart is sent before a test is started.
type RunStart struct {
	Test int    `json:"test"` // index in the job
	Name string `json:"name"`
}

// RunEnd says how a test ended.
type RunEnd struct {
	Test     int           `json:"test"`
	ExitCode int           `json:"exit_code"`        // -1 when the test was killed by a signal or never started
	Signal   string        `json:"signal,omitempty"` // for example "SIGSEGV"
	Duration time.Duration `json:"duration_ns"`
	TimedOut bool          `json:"timed_out,omitempty"`
	// Error is why the test could not be started or watched.
	Error string `json:"error,omitempty"`
	// Dropped is the number of bytes of output beyond MaxOutput.
	Dropped int64 `json:"dropped,omitempty"`
}

// End is the last message.
type End struct {
	Runs int `json:"runs"` // run-end messages that were sent
}

// encodeRunEnd makes the payload of a run-end message; record may be empty.
func encodeRunEnd(e RunEnd, record []byte) ([]byte, error) {
	j, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 4+len(j)+len(record))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(j)))
	return append(append(b, j...), record...), nil
}

func decodeRunEnd(b []byte) (e RunEnd, record []byte, err error) {
	if len(b) < 4 {
		return e, nil, fmt.Errorf("%w: run-end of %d bytes", ErrFrame, len(b))
	}
	n := binary.LittleEndian.Uint32(b)
	if n > MaxText || int(n) > len(b)-4 {
		return e, nil, fmt.Errorf("%w: run-end with %d bytes of JSON in %d", ErrFrame, n, len(b))
	}
	if err := unmarshal(KindRunEnd, b[4:4+n], &e); err != nil {
		return e, nil, err
	}
	return e, b[4+n:], nil
}

func unmarshal(k Kind, b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %v: %w", ErrFrame, k, err)
	}
	return nil
}

// Handler receives the messages of one guest, in order, from one goroutine. An error ends the
// reception. Byte slices are the callee's.
type Handler interface {
	Hello(Hello) error
	RunStart(RunStart) error
	// Output is called for what the current test writes; stderr tells the two streams apart.
	Output(stderr bool, p []byte) error
	// Counters brings the state of the current test's counters; the previous one is out of date.
	Counters(*collect.Record) error
	// RunEnd ends the current test; record is nil when the guest had none to send.
	RunEnd(e RunEnd, record *collect.Record) error
	Log(text string) error
	End(End) error
}

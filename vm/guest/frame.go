package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Kind says what a message is.
type Kind uint8

// The kinds of messages. See the package comment for their order and content.
const (
	KindHello Kind = 1 + iota
	KindRunStart
	KindStdout
	KindStderr
	KindCounters
	KindRunEnd
	KindLog
	KindEnd
	KindDelta
	KindArtefact
	KindReady // instead of hello: the guest may be saved, and waits for orders

	// Orders of the host, see [Send].
	KindResume
	KindFile
	KindData
	KindJob

	lastKind = KindJob
)

func (k Kind) String() string {
	names := [...]string{"", "hello", "run-start", "stdout", "stderr", "counters", "run-end", "log", "end", "delta", "artefact",
		"ready", "resume", "file", "data", "job"}
	if k == 0 || int(k) >= len(names) {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return names[k]
}

const (
	// MaxPayload is the largest payload of one frame, in bytes.
	MaxPayload = 1 << 20
	// MaxRecord is the largest counters or run-end message, in bytes.
	MaxRecord = 128 << 20
	// MaxArtefact is the largest file that comes back from a guest, in bytes, and MaxArtefacts the largest sum and
	// MaxArtefactFiles the largest number for one test.
	MaxArtefact      = 32 << 20
	MaxArtefacts     = 256 << 20
	MaxArtefactFiles = 10_000
	// MaxText is the largest message of any other kind, in bytes.
	MaxText = 1 << 20

	frameVersion = 1
	headerSize   = 16
	trailerSize  = 4
	flagMore     = 1
)

// ErrFrame is wrapped by every error about a stream that breaks the rules: a guest whose memory was
// overwritten, or one that lies.
var ErrFrame = errors.New("malformed stream from the guest")

func frameMagic() [4]byte { return [4]byte{0xbf, 'c', 'o', 'v'} }

func (k Kind) limit() int {
	switch k {
	case KindCounters, KindRunEnd, KindDelta:
		return MaxRecord
	case KindArtefact:
		return MaxArtefact + MaxText
	}
	return MaxText
}

// Encoder writes messages to a port. It is not safe for concurrent use: a port has one writer.
type Encoder struct {
	w   io.Writer
	seq uint32
	buf []byte
}

// NewEncoder returns an encoder of a new stream.
func NewEncoder(w io.Writer) *Encoder {
	return &Encoder{w: w}
}

// Encode writes one message in as many frames as it needs, each by one call of Write.
func (e *Encoder) Encode(k Kind, payload []byte) error {
	if len(payload) > k.limit() {
		return fmt.Errorf("%v message of %d bytes, want at most %d", k, len(payload), k.limit())
	}
	for {
		part := payload
		var flags byte
		if len(part) > MaxPayload {
			part, flags = part[:MaxPayload], flagMore
		}
		magic := frameMagic()
		b := append(e.buf[:0], magic[:]...)
		b = append(b, frameVersion, byte(k), flags, 0)
		b = binary.LittleEndian.AppendUint32(b, e.seq)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
		b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
		e.buf = b
		e.seq++
		if _, err := e.w.Write(b); err != nil {
			return err
		}
		payload = payload[len(part):]
		if flags == 0 {
			return nil
		}
	}
}

// Message is one message of the stream.
type Message struct {
	Kind    Kind
	Payload []byte
}

// Decoder reads messages. Memory is allocated only for bytes that arrived, and at most MaxRecord.
type Decoder struct {
	r   io.Reader
	seq uint32
}

// NewDecoder returns a decoder of the stream r.
func NewDecoder(r io.Reader) *Decoder {
	return &Decoder{r: r}
}

// Next returns the next message. It returns [io.EOF] at the end of the stream between two messages,
// [io.ErrUnexpectedEOF] inside one, and an error that wraps [ErrFrame] for anything out of order.
// After an error the stream cannot be read on.
func (d *Decoder) Next() (Message, error) {
	m, more, err := d.frame()
	if err != nil {
		return Message{}, err
	}
	for more {
		var part Message
		part, more, err = d.frame()
		switch {
		case err == io.EOF:
			return Message{}, io.ErrUnexpectedEOF
		case err != nil:
			return Message{}, err
		case part.Kind != m.Kind:
			return Message{}, fmt.Errorf("frame %d: %w: %v inside a %v message", d.seq-1, ErrFrame, part.Kind, m.Kind)
		case len(m.Payload)+len(part.Payload) > m.Kind.limit():
			return Message{}, fmt.Errorf("frame %d: %w: %v message of more than %d bytes", d.seq-1, ErrFrame, m.Kind, m.Kind.limit())
		}
		m.Payload = append(m.Payload, part.Payload...)
	}
	return m, nil
}

func (d *Decoder) frame() (m Message, more bool, err error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(d.r, head[:]); err != nil {
		return m, false, err
	}
	bad := func(format string, args ...any) (Message, bool, error) {
		return Message{}, false, fmt.Errorf("frame %d: %w: %s", d.seq, ErrFrame, fmt.Sprintf(format, args...))
	}
	kind, flags := Kind(head[5]), head[6]
	seq, n := binary.LittleEndian.Uint32(head[8:]), binary.LittleEndian.Uint32(head[12:])
	switch {
	case [4]byte(head[:4]) != frameMagic():
		return bad("magic % x", head[:4])
	case head[4] != frameVersion:
		return bad("protocol version %d, want %d; is the agent of another bpfcov?", head[4], frameVersion)
	case kind < KindHello || kind > lastKind:
		return bad("%v", kind)
	case flags&^flagMore != 0 || head[7] != 0:
		return bad("flags %#x %#x", flags, head[7])
	case seq != d.seq:
		return bad("sequence number %d", seq)
	case n > MaxPayload:
		return bad("payload of %d bytes, want at most %d", n, MaxPayload)
	case flags&flagMore != 0 && n == 0:
		return bad("empty frame that goes on") // would let a stream go on for ever at no cost
	}
	body := make([]byte, int(n)+trailerSize)
	if _, err := io.ReadFull(d.r, body); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return m, false, err
	}
	payload := body[:n:n]
	sum := crc32.Update(crc32.ChecksumIEEE(head[:]), crc32.IEEETable, payload)
	if got := binary.LittleEndian.Uint32(body[n:]); got != sum {
		return bad("checksum %08x, want %08x", got, sum)
	}
	d.seq++
	return Message{Kind: kind, Payload: payload}, flags&flagMore != 0, nil
}

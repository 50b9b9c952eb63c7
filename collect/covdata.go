package collect

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// The covdata format of one record, in a file or on the wire. Integers are little endian, a uvarint
// is that of encoding/binary.
//
//	 0  8  magic: 'B' 'P' 'F' 'C' 'O' 'V' 'R' 0x1a
//	 8  2  u16 version = 1
//	10  2  u16 flags: bit 0 = the payload is compressed (RFC 1951)
//	12  4  u32 0
//	16  8  u64 size of the payload as stored
//	24  8  u64 size of the payload without compression
//	32 32  SHA-256 of bytes 0..31 and of the payload as stored
//	64  .  payload: sections, each: uvarint kind | uvarint size | content
//
//	kind 1, once:       the Run as JSON
//	kind 2, at most 1:  []ProgramLoad as JSON
//	kind 3, any number: one ObjectCounters:
//	        16 bytes object id
//	        uvarint width | uvarint maps | uvarint N
//	        N uvarint counts
//	        states: uvarint number of runs, each: u8 state | uvarint length; together 0 or N
//	        flows: uvarint number, each: u8 1 when unknown, else 2 and the sites before, then after:
//	            uvarint number, each: uvarint counter+1, 0 for none |
//	            uvarint number of next sites << 3 | any << 2 | first << 1 | exit | uvarint next sites
//	          or 0 and sites with number << 1 | exit: it is not known which are the first
//	kind 128, at most 1: []UserFile as JSON
//	kinds of 128 and above may be skipped by who does not know them; other ones are an error
const (
	recordMagic   = "BPFCOVR\x1a"
	recordVersion = 1
	headerSize    = 64
	flagDeflate   = 1

	kindRun      = 1
	kindPrograms = 2
	kindObject   = 3
	kindOptional = 128
	kindUser     = 128

	// maxPayload bounds what a file can make a reader allocate.
	maxPayload = 256 << 20
	// maxCounters bounds one object. The largest value of a BPF array map is well below it.
	maxCounters = 1 << 24
)

// EncodeRecord writes r in the covdata format. Equal records give equal bytes.
func EncodeRecord(w io.Writer, r *Record) error {
	raw, err := appendPayload(nil, r)
	if err != nil {
		return fmt.Errorf("encode the record of %s: %w", r.Run.Test, err)
	}
	if len(raw) > maxPayload {
		return fmt.Errorf("encode the record of %s: %d bytes are more than the %d that readers accept",
			r.Run.Test, len(raw), maxPayload)
	}
	stored, flags := raw, uint16(0)
	if packed, err := compress(raw); err == nil && len(packed) < len(raw) {
		stored, flags = packed, flagDeflate
	}
	h := make([]byte, 0, headerSize)
	h = append(h, recordMagic...)
	h = binary.LittleEndian.AppendUint16(h, recordVersion)
	h = binary.LittleEndian.AppendUint16(h, flags)
	h = binary.LittleEndian.AppendUint32(h, 0)
	h = binary.LittleEndian.AppendUint64(h, uint64(len(stored)))
	h = binary.LittleEndian.AppendUint64(h, uint64(len(raw)))
	sum := checksum(h, stored)
	if _, err := w.Write(append(h, sum[:]...)); err != nil {
		return err
	}
	_, err = w.Write(stored)
	return err
}

// DecodeRecord reads one record and nothing after it. The error is [ErrTruncated] when r ends too
// early (also before the first byte) and [ErrFormat] for anything else that is no record.
func DecodeRecord(r io.Reader) (*Record, error) {
	raw, err := readPayload(r)
	if err != nil {
		return nil, err
	}
	rec, err := parsePayload(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return rec, nil
}

func checksum(header, stored []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(header[:32])
	h.Write(stored)
	return [sha256.Size]byte(h.Sum(nil))
}

// readPayload reads and checks everything but the content of the payload.
func readPayload(r io.Reader) ([]byte, error) {
	var h [headerSize]byte
	if n, err := io.ReadFull(r, h[:]); err != nil {
		if err != io.EOF && err != io.ErrUnexpectedEOF {
			return nil, err
		}
		if n > len(recordMagic) {
			n = len(recordMagic)
		}
		if string(h[:n]) != recordMagic[:n] {
			return nil, fmt.Errorf("%w: it starts with % x", ErrFormat, h[:n])
		}
		return nil, fmt.Errorf("%w: no whole header", ErrTruncated)
	}
	if string(h[:8]) != recordMagic {
		return nil, fmt.Errorf("%w: it starts with % x", ErrFormat, h[:8])
	}
	if v := binary.LittleEndian.Uint16(h[8:]); v != recordVersion {
		return nil, fmt.Errorf("%w: version %d, this bpfcov reads version %d", ErrFormat, v, recordVersion)
	}
	flags := binary.LittleEndian.Uint16(h[10:])
	size, rawSize := binary.LittleEndian.Uint64(h[16:]), binary.LittleEndian.Uint64(h[24:])
	if flags&^flagDeflate != 0 || size > maxPayload || rawSize > maxPayload {
		return nil, fmt.Errorf("%w: header with flags %#x and sizes %d and %d", ErrFormat, flags, size, rawSize)
	}
	// A buffer that grows while there is input: the header may claim more than there is.
	var stored bytes.Buffer
	if n, err := io.CopyN(&stored, r, int64(size)); err == io.EOF {
		return nil, fmt.Errorf("%w: %d of %d bytes", ErrTruncated, headerSize+n, headerSize+size)
	} else if err != nil {
		return nil, err
	}
	if sum := checksum(h[:], stored.Bytes()); sum != [sha256.Size]byte(h[32:]) {
		return nil, fmt.Errorf("%w: checksum mismatch, the file is damaged", ErrFormat)
	}
	raw := stored.Bytes()
	if flags&flagDeflate != 0 {
		var err error
		if raw, err = decompress(raw, int64(rawSize)); err != nil {
			return nil, fmt.Errorf("%w: deflate: %w", ErrFormat, err)
		}
	}
	if uint64(len(raw)) != rawSize {
		return nil, fmt.Errorf("%w: payload of %d bytes, the header says %d", ErrFormat, len(raw), rawSize)
	}
	return raw, nil
}

func compress(b []byte) ([]byte, error) {
	if len(b) < 512 {
		return b, nil // cannot pay
	}
	// The fastest level, and of the standard library: an agent in an emulated guest calls this every second, and
	// pays for the tables of a better one at every start.
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// decompress reads at most one byte more than size: the caller compares.
func decompress(b []byte, size int64) ([]byte, error) {
	r := flate.NewReader(bytes.NewReader(b))
	defer r.Close()
	var out bytes.Buffer
	const trust = 1 << 20 // the header may claim more than there is
	out.Grow(int(min(size, trust)) + bytes.MinRead)
	_, err := out.ReadFrom(io.LimitReader(r, size+1))
	return out.Bytes(), err
}

func appendPayload(b []byte, r *Record) ([]byte, error) {
	run, err := json.Marshal(r.Run)
	if err != nil {
		return nil, err
	}
	b = appendSection(b, kindRun, run)
	if len(r.Programs) > 0 {
		programs, err := json.Marshal(r.Programs)
		if err != nil {
			return nil, err
		}
		b = appendSection(b, kindPrograms, programs)
	}
	for i := range r.Objects {
		o := &r.Objects[i]
		if len(o.States) != 0 && len(o.States) != len(o.Counts) {
			return nil, fmt.Errorf("object %s: %d states for %d counters", o.ObjectID.Short(), len(o.States), len(o.Counts))
		}
		b = appendSection(b, kindObject, appendObject(nil, o))
	}
	if len(r.UserSpace) > 0 {
		user, err := json.Marshal(r.UserSpace)
		if err != nil {
			return nil, err
		}
		b = appendSection(b, kindUser, user)
	}
	return b, nil
}

func appendSection(b []byte, kind uint64, content []byte) []byte {
	b = binary.AppendUvarint(b, kind)
	b = binary.AppendUvarint(b, uint64(len(content)))
	return append(b, content...)
}

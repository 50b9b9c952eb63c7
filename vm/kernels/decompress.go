package kernels

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"
)

// errTooLarge is returned when data has more bytes than its reader allows.
var errTooLarge = errors.New("too large")

// errUnknownCompression is returned for data that starts with no known magic number.
var errUnknownCompression = errors.New("unknown compression")

// maxWindow bounds the dictionary of xz and zstd streams. The kernel's build uses up to 128 MiB (zstd -22 --ultra).
const maxWindow = 128 << 20

func readLimited(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLarge, limit)
	}
	return b, nil
}

// decompress unpacks what the kernel's build packs (scripts/Makefile.lib): gzip, xz with or without an x86 filter,
// zstd, lz4 in its legacy frame, and lzma. The kind is told by the magic number. Bytes after the end of the stream
// are ignored: boot images carry the unpacked size there. The result has at most limit bytes.
func decompress(b []byte, limit int64) ([]byte, error) {
	var r io.Reader
	switch {
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		z.Multistream(false)
		r = z
	case bytes.HasPrefix(b, []byte(xzMagic)):
		return unxz(b, limit)
	case bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return unzstd(b, limit)
	case bytes.HasPrefix(b, []byte{0x02, 0x21, 0x4c, 0x18}):
		return unlz4(b[4:], limit)
	case len(b) >= 13 && b[0] == 0x5d && b[1] == 0 && b[2] == 0:
		dict := binary.LittleEndian.Uint32(b[1:])
		if dict > maxWindow {
			return nil, fmt.Errorf("lzma: dictionary of %d bytes (max %d)", dict, maxWindow)
		}
		// DictCap is a limit and the least that is allocated.
		z, err := lzma.ReaderConfig{DictCap: int(max(dict, lzma.MinDictCap))}.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("lzma: %w", err)
		}
		r = z
	default:
		return nil, errUnknownCompression
	}
	return readLimited(r, limit)
}

// unzstd reads the first frame of b.
func unzstd(b []byte, limit int64) ([]byte, error) {
	d, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(uint64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	defer d.Close()
	out, err := io.ReadAll(io.LimitReader(d, limit+1))
	if int64(len(out)) > limit {
		return nil, fmt.Errorf("zstd: %w: more than %d bytes", errTooLarge, limit)
	}
	// What follows the frame (the size that the kernel's build appends) is no frame; the frame before it was
	// complete and its sum was checked, or the decoder would have said so.
	if err != nil && len(out) > 0 && errors.Is(err, zstd.ErrMagicMismatch) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return out, nil
}

// unlz4 reads the legacy frame of lz4 (doc/lz4_Frame_format.md, "Legacy frame"), after its magic number: blocks of
// up to 8 MiB, each with its packed size in front. The frame has no end mark; the last four bytes are the unpacked size
// that the kernel's build appends, or nothing is left.
func unlz4(b []byte, limit int64) ([]byte, error) {
	const blockMax = 8 << 20
	var out []byte
	buf := make([]byte, min(blockMax, limit))
	for len(b) > 4 || len(b) == 4 && len(out) == 0 {
		n := int64(binary.LittleEndian.Uint32(b))
		b = b[4:]
		if n == 0 || n > int64(len(b)) {
			return nil, fmt.Errorf("lz4: block of %d bytes, %d left", n, len(b))
		}
		m, err := lz4.UncompressBlock(b[:n], buf)
		if err != nil {
			return nil, fmt.Errorf("lz4: %w", err)
		}
		if int64(len(out)+m) > limit {
			return nil, fmt.Errorf("lz4: %w: more than %d bytes", errTooLarge, limit)
		}
		out = append(out, buf[:m]...)
		b = b[n:]
	}
	if len(out) == 0 || len(b) != 0 && len(b) != 4 {
		return nil, fmt.Errorf("lz4: %w", io.ErrUnexpectedEOF)
	}
	return out, nil
}

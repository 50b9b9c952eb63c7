package covmap

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// unhex turns a table of hexadecimal digits with spaces into bytes.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

func uleb(v uint64) []byte { return binary.AppendUvarint(nil, v) }

func deflate(b []byte) []byte {
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

// fileBlob encodes file names as __llvm_covmap does.
func fileBlob(compressed bool, files ...string) []byte {
	var list []byte
	for _, f := range files {
		list = append(append(list, uleb(uint64(len(f)))...), f...)
	}
	b := append(uleb(uint64(len(files))), uleb(uint64(len(list)))...)
	if compressed {
		z := deflate(list)
		return append(append(b, uleb(uint64(len(z)))...), z...)
	}
	return append(append(b, 0), list...)
}

func pad8(b []byte) []byte {
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

// header is one header of __llvm_covmap, padded.
func header(o binary.AppendByteOrder, stored uint32, blob []byte) []byte {
	b := o.AppendUint32(nil, 0)
	b = o.AppendUint32(b, uint32(len(blob)))
	b = o.AppendUint32(b, 0)
	b = o.AppendUint32(b, stored)
	return pad8(append(b, blob...))
}

// record is one record of __llvm_covfun, padded.
func record(o binary.AppendByteOrder, name string, hash uint64, blob, data []byte) []byte {
	b := o.AppendUint64(nil, NameHash(name))
	b = o.AppendUint32(b, uint32(len(data)))
	b = o.AppendUint64(b, hash)
	b = o.AppendUint64(b, hashName(blob))
	return pad8(append(b, data...))
}

func nameChunk(compressed bool, names ...string) []byte {
	list := []byte(strings.Join(names, "\x01"))
	b := uleb(uint64(len(list)))
	if compressed {
		z := deflate(list)
		return append(append(b, uleb(uint64(len(z)))...), z...)
	}
	return append(append(b, 0), list...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

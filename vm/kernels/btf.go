package kernels

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf/btf"
)

const maxBTF = 64 << 20 // bytes of type information; Debian's kernels have 4 to 9 MiB

// Types are what the type information (BTF) in a kernel's image says.
type Types struct {
	Bytes int `json:"bytes"` // of type information in the image, 0 when there is none
	// Kfuncs are the kernel functions that BPF programs may call. They are marked in the type information of
	// kernels that were built with pahole 1.26 or newer, from about Linux 6.10; before, there are none here.
	Kfuncs int `json:"kfuncs"`
}

// ReadTypes reads the type information of a kernel's image, once: the answer is kept beside a kernel of the store. nil
// and no error mean that the image is packed in a way that is not unpacked here, so that nothing is known.
func (k *Kernel) ReadTypes() (*Types, error) {
	memo := ""
	if k.Dir != "" {
		memo = filepath.Join(k.Dir, "types.json")
		if b, err := os.ReadFile(memo); err == nil {
			var t Types
			if json.Unmarshal(b, &t) == nil {
				return &t, nil
			}
		}
	}
	f, err := os.Open(k.Image)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	img, err := readLimited(f, maxKernel)
	if err != nil {
		return nil, err
	}
	raw, plain := findBTF(img)
	if !plain {
		return nil, nil
	}
	t := &Types{Bytes: len(raw)}
	if len(raw) > 0 {
		if t.Kfuncs, err = countKfuncs(raw); err != nil {
			return nil, fmt.Errorf("kernel %s: BTF: %w", k.Release, err)
		}
	}
	if memo != "" {
		if b, err := json.Marshal(t); err == nil {
			_ = writeFile(memo, b) // a store that cannot be written is asked again next time
		}
	}
	return t, nil
}

// findBTF returns the type information of an image, nil when there is none. plain is false for a packed image.
func findBTF(img []byte) (raw []byte, plain bool) {
	if bytes.HasPrefix(img, []byte(elf.ELFMAG)) {
		f, err := elf.NewFile(bytes.NewReader(img))
		if err != nil {
			return nil, false
		}
		if s := f.Section(".BTF"); s != nil && s.Type != elf.SHT_NOBITS && s.Size <= maxBTF {
			if b, err := readLimited(s.Open(), maxBTF); err == nil {
				return b, true
			}
		}
		return nil, true
	}
	// An arm64 or riscv64 Image is the memory of the kernel; the type information begins with its header
	// (Documentation/bpf/btf.rst): magic, version 1, no flags, header of 24 bytes, and types before strings.
	if a := imageArch(img); a != "arm64" && a != "riscv64" {
		return nil, false
	}
	head := []byte{0x9f, 0xeb, 1, 0, 24, 0, 0, 0}
	for at := 0; ; {
		i := bytes.Index(img[at:], head)
		if i < 0 {
			return nil, true
		}
		at += i
		b := img[at:]
		if len(b) >= 24 {
			le := binary.LittleEndian
			types, typeLen, strs, strLen := uint64(le.Uint32(b[8:])), uint64(le.Uint32(b[12:])), uint64(le.Uint32(b[16:])), uint64(le.Uint32(b[20:]))
			// The largest of them is the kernel's; others are in objects that the kernel embeds.
			if end := 24 + strs + strLen; types == 0 && strs == typeLen && typeLen > 1<<18 && end <= maxBTF && end <= uint64(len(b)) {
				return b[:end], true
			}
		}
		at += len(head)
	}
}

// countKfuncs counts the functions that are marked as callable.
func countKfuncs(raw []byte) (n int, err error) {
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		return 0, err
	}
	for t, err := range spec.All() {
		if err != nil {
			return 0, err
		}
		if f, ok := t.(*btf.Func); ok && slices.Contains(f.Tags, "bpf_kfunc") {
			n++
		}
	}
	return n, nil
}

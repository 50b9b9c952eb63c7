package kernels

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
)

const (
	maxImage  = 512 << 20  // bytes of a packed image
	maxKernel = 1024 << 20 // bytes of an unpacked one
)

var errNotBzImage = errors.New("not a bzImage")

// vmlinuxFromBzImage unpacks the ELF kernel within an x86 bzImage.
//
// The setup header (Documentation/arch/x86/boot.rst, boot protocol 2.08 and later) stands at 0x1f1. The protected
// mode part begins after setup_sects+1 sectors, and payload_offset counts from there:
//
//	0x1f1  1  setup_sects, 0 means 4
//	0x202  4  "HdrS"
//	0x206  2  protocol version
//	0x248  4  payload_offset
//	0x24c  4  payload_length, with the unpacked size in its last four bytes
func vmlinuxFromBzImage(b []byte, limit int64) ([]byte, error) {
	if len(b) < 0x250 || string(b[0x202:0x206]) != "HdrS" {
		return nil, errNotBzImage
	}
	le := binary.LittleEndian
	if v := le.Uint16(b[0x206:]); v < 0x208 {
		return nil, fmt.Errorf("bzImage: boot protocol %d.%02d has no payload offset (min 2.08)", v>>8, v&0xff)
	}
	sects := int64(b[0x1f1])
	if sects == 0 {
		sects = 4
	}
	start := (sects+1)*512 + int64(le.Uint32(b[0x248:]))
	end := start + int64(le.Uint32(b[0x24c:]))
	if end > int64(len(b)) || end-start < 8 {
		return nil, fmt.Errorf("bzImage: payload %#x..%#x is not within the file of %#x bytes", start, end, len(b))
	}
	out, err := decompress(b[start:end], limit)
	if err != nil {
		return nil, fmt.Errorf("bzImage: payload: %w", err)
	}
	if want := le.Uint32(b[end-4:]); int64(want) != int64(len(out)) {
		return nil, fmt.Errorf("bzImage: payload has %d bytes, its header says %d", len(out), want)
	}
	if !bytes.HasPrefix(out, []byte(elf.ELFMAG)) {
		return nil, errors.New("bzImage: payload is not an ELF file")
	}
	return out, nil
}

// bzImageRelease reads the release from the setup header: kernel_version at 0x20e points, from 0x200, to a string
// that begins with it.
func bzImageRelease(b []byte) string {
	if len(b) < 0x250 || string(b[0x202:0x206]) != "HdrS" {
		return ""
	}
	p := int(binary.LittleEndian.Uint16(b[0x20e:])) + 0x200
	if p == 0x200 || p >= len(b) {
		return ""
	}
	s := b[p:min(p+256, len(b))]
	if i := bytes.IndexAny(s, " \x00"); i >= 0 {
		s = s[:i]
	}
	if !releaseRE.Match(s) {
		return ""
	}
	return string(s)
}

// unzboot unpacks an EFI zboot image (drivers/firmware/efi/libstub/zboot-header.S), the packed form of an arm64,
// riscv64 or loong64 Image. It returns b itself when it is no zboot image.
//
//	0  2  "MZ"
//	4  4  "zimg"
//	8  4  offset of the payload     12  4  its size
//	24 32 name of the compression
func unzboot(b []byte, limit int64) ([]byte, error) {
	if len(b) < 64 || b[0] != 'M' || b[1] != 'Z' || string(b[4:8]) != "zimg" {
		return b, nil
	}
	start := int64(binary.LittleEndian.Uint32(b[8:]))
	end := start + int64(binary.LittleEndian.Uint32(b[12:]))
	if end > int64(len(b)) {
		return nil, fmt.Errorf("zboot image: payload %#x..%#x is not within the file of %#x bytes", start, end, len(b))
	}
	out, err := decompress(b[start:end], limit)
	if err != nil {
		return nil, fmt.Errorf("zboot image: %w", err)
	}
	return out, nil
}

// imageArch tells the GOARCH of a kernel image by its headers, "" when it is not known.
func imageArch(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte(elf.ELFMAG)):
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			return ""
		}
		for _, a := range arches {
			if a.machine == f.Machine && a.order == f.ByteOrder {
				return a.goarch
			}
		}
	case len(b) > 0x250 && string(b[0x202:0x206]) == "HdrS":
		// XLF_KERNEL_64 of xloadflags (0x236) tells a 64-bit kernel (boot protocol 2.12).
		if b[0x236]&1 != 0 {
			return "amd64"
		}
		return "386"
	case len(b) > 64 && string(b[56:60]) == "ARM\x64": // Documentation/arch/arm64/booting.rst
		return "arm64"
	case len(b) > 64 && string(b[56:60]) == "RSC\x05": // Documentation/arch/riscv/boot-image-header.rst
		return "riscv64"
	case len(b) > 64 && binary.LittleEndian.Uint32(b[0x24:]) == 0x016f2818: // Documentation/arch/arm/booting.rst, zImage
		return "arm"
	case len(b) > 0x10010 && string(b[0x10008:0x1000e]) == "S390EP": // arch/s390/boot/head.S
		return "s390x"
	}
	return ""
}

// hasPVH reports whether an x86 ELF kernel has the note that tells QEMU its 32-bit entry point
// (XEN_ELFNOTE_PHYS32_ENTRY, 18, of owner "Xen"). Without it QEMU's -kernel does not take an ELF file of 64 bits.
func hasPVH(vmlinux []byte) bool {
	f, err := elf.NewFile(bytes.NewReader(vmlinux))
	if err != nil || f.Machine != elf.EM_X86_64 || f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return false
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		b, err := readLimited(p.Open(), 1<<20)
		if err != nil {
			continue
		}
		for len(b) >= 12 {
			namesz, descsz, typ := f.ByteOrder.Uint32(b), f.ByteOrder.Uint32(b[4:]), f.ByteOrder.Uint32(b[8:])
			n := 12 + (int64(namesz)+3)&^3
			d := (int64(descsz) + 3) &^ 3
			if n+d > int64(len(b)) {
				break
			}
			if typ == 18 && string(b[12:12+namesz]) == "Xen\x00" && descsz >= 4 {
				return true
			}
			b = b[n+d:]
		}
	}
	return false
}

var (
	releaseRE = regexp.MustCompile(`^[0-9]+\.[0-9]+[0-9A-Za-z.+~_-]*$`)
	bannerRE  = regexp.MustCompile(`Linux version ([0-9]+\.[0-9]+[0-9A-Za-z.+~_-]{0,200}) \(`)
)

// imageRelease finds the release (uname -r) of an image, "" when it does not show it. An unpacked kernel has its
// banner, init/version.c, as plain text.
func imageRelease(b []byte) string {
	if r := bzImageRelease(b); r != "" {
		return r
	}
	if m := bannerRE.FindSubmatch(b); m != nil {
		return string(m[1])
	}
	return ""
}

// bootImage returns what QEMU should boot of the packaged image b, and whether it differs from b. An image that
// cannot be unpacked is booted as it is; the reason is given to logf.
func bootImage(b []byte, arch string, logf func(string, ...any)) ([]byte, bool) {
	switch arch {
	case "amd64":
		v, err := vmlinuxFromBzImage(b, maxKernel)
		switch {
		case err == nil && hasPVH(v):
			return v, true
		case err == nil:
			logf("the kernel has no PVH entry (CONFIG_PVH): booting its bzImage")
		case !errors.Is(err, errNotBzImage):
			logf("booting the packed image: %v", err)
		}
	case "arm64", "riscv64", "loong64":
		if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) { // Image.gz
			if v, err := decompress(b, maxKernel); err == nil {
				return v, true
			}
		}
		v, err := unzboot(b, maxKernel)
		if err == nil {
			return v, len(v) != len(b)
		}
		logf("booting the packed image: %v", err)
	}
	return b, false
}

func readImage(r io.Reader) ([]byte, error) { return readLimited(r, maxImage) }

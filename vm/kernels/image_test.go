package kernels

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// testELF makes a small ELF file with the given sections and, when note is not nil, a PT_NOTE segment.
func testELF(machine elf.Machine, sections map[string][]byte, note []byte) []byte {
	const ehdr, phdr, shdr = 64, 56, 64
	var names []string
	for n := range sections {
		names = append(names, n)
	}
	strtab := []byte("\x00.shstrtab\x00")
	var body bytes.Buffer
	type sec struct{ name, off, size int }
	var secs []sec
	base := ehdr + phdr
	for _, n := range names {
		secs = append(secs, sec{len(strtab), base + body.Len(), len(sections[n])})
		strtab = append(strtab, n+"\x00"...)
		body.Write(sections[n])
	}
	noteOff := base + body.Len()
	body.Write(note)
	strOff := base + body.Len()
	body.Write(strtab)
	for body.Len()%8 != 0 {
		body.WriteByte(0)
	}
	shoff := base + body.Len()

	var out bytes.Buffer
	w := func(v any) { binary.Write(&out, binary.LittleEndian, v) }
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Phoff: ehdr, Shoff: uint64(shoff), Ehsize: ehdr,
		Phentsize: phdr, Phnum: 1, Shentsize: shdr, Shnum: uint16(len(secs) + 2), Shstrndx: 1,
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = 2, 1, 1
	w(h)
	typ := elf.PT_NULL
	if note != nil {
		typ = elf.PT_NOTE
	}
	w(elf.Prog64{Type: uint32(typ), Off: uint64(noteOff), Filesz: uint64(len(note)), Memsz: uint64(len(note)), Align: 4})
	out.Write(body.Bytes())
	w(elf.Section64{})
	w(elf.Section64{Name: 1, Type: uint32(elf.SHT_STRTAB), Off: uint64(strOff), Size: uint64(len(strtab))})
	for _, s := range secs {
		w(elf.Section64{Name: uint32(s.name), Type: uint32(elf.SHT_PROGBITS), Off: uint64(s.off), Size: uint64(s.size)})
	}
	return out.Bytes()
}

func pvhNote() []byte {
	n := []byte{4, 0, 0, 0, 8, 0, 0, 0, 18, 0, 0, 0}
	n = append(n, "Xen\x00"...)
	return append(n, 0, 0, 0, 1, 0, 0, 0, 0)
}

// testKernel makes something like a vmlinux of some 100 kB: a PVH note, a banner, and code with calls, so that the
// x86 filter has work to do.
func testKernel(pvh bool) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	var code bytes.Buffer
	code.WriteString("\x00Linux version 6.1.0-99-test-amd64 (a@b) #1 SMP\n\x00")
	for range 10000 {
		switch rnd.IntN(4) {
		case 0:
			code.WriteByte(byte(0xe8 + rnd.IntN(2)))
			binary.Write(&code, binary.LittleEndian, int32(rnd.IntN(1<<20)-1<<19))
		case 1:
			code.Write([]byte{0xe8, 0xe8, 0xe9, 0, 0, 0xff, 0xe8}[:1+rnd.IntN(7)])
		default:
			code.Write([]byte{byte(rnd.IntN(256)), 0x90, byte(rnd.IntN(3)) - 1})
		}
	}
	var note []byte
	if pvh {
		note = pvhNote()
	}
	return testELF(elf.EM_X86_64, map[string][]byte{".text": code.Bytes()}, note)
}

func pack(t testing.TB, kind string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(w interface {
		Write([]byte) (int, error)
		Close() error
	}, err error) {
		t.Helper()
		check(err)
		_, err = w.Write(data)
		check(err)
		check(w.Close())
	}
	switch kind {
	case "gzip":
		write(gzip.NewWriter(&b), nil)
	case "xz":
		write(xz.NewWriter(&b))
	case "lzma":
		write(lzma.NewWriter(&b))
	case "zstd":
		write(zstd.NewWriter(&b))
	case "lz4":
		b.Write([]byte{0x02, 0x21, 0x4c, 0x18})
		for d := data; len(d) > 0; {
			n := min(len(d), 8<<20)
			buf := make([]byte, lz4.CompressBlockBound(n))
			m, err := lz4.CompressBlock(d[:n], buf, nil)
			check(err)
			if m == 0 {
				t.Fatal("data that lz4 cannot pack")
			}
			check(binary.Write(&b, binary.LittleEndian, uint32(m)))
			b.Write(buf[:m])
			d = d[n:]
		}
	case "xz --x86", "xz --check=crc64", "xz --block-size":
		args := map[string][]string{
			"xz --x86":         {"--check=crc32", "--x86", "--lzma2=dict=32MiB"}, // scripts/xz_wrap.sh
			"xz --check=crc64": {"--check=crc64"},
			"xz --block-size":  {"--check=sha256", "--block-size=20000"},
		}[kind]
		if _, err := exec.LookPath("xz"); err != nil {
			t.Skip("no xz program to pack with: Go has no packer with this option")
		}
		cmd := exec.Command("xz", append(args, "--stdout", "-")...)
		cmd.Stdin = bytes.NewReader(data)
		out, err := cmd.Output()
		check(err)
		return out
	default:
		t.Fatalf("no packer %q", kind)
	}
	return b.Bytes()
}

// testBzImage wraps a payload as arch/x86/boot does.
func testBzImage(payload []byte, size int) []byte {
	const sects, offset = 3, 0x40
	b := make([]byte, (sects+1)*512+offset)
	le := binary.LittleEndian
	b[0x1f1] = sects
	copy(b[0x202:], "HdrS")
	le.PutUint16(b[0x206:], 0x20f)
	le.PutUint16(b[0x20e:], 0x300-0x200)
	copy(b[0x300:], "6.1.0-99-test-amd64 (a@b) #1 SMP\x00")
	b[0x236] = 1
	le.PutUint32(b[0x248:], offset)
	le.PutUint32(b[0x24c:], uint32(len(payload)+4))
	b = append(b, payload...)
	b = le.AppendUint32(b, uint32(size))
	return append(b, "what follows the payload"...)
}

var packers = []string{"gzip", "xz", "xz --x86", "xz --check=crc64", "xz --block-size", "zstd", "lz4", "lzma"}

func TestVmlinuxFromBzImage(t *testing.T) {
	kernel := testKernel(true)
	for _, kind := range packers {
		t.Run(kind, func(t *testing.T) {
			b := testBzImage(pack(t, kind, kernel), len(kernel))
			got, err := vmlinuxFromBzImage(b, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, kernel) {
				t.Fatalf("got %d other bytes, want the kernel's %d", len(got), len(kernel))
			}
			if !hasPVH(got) {
				t.Error("no PVH entry found")
			}
			if a := imageArch(b); a != "amd64" {
				t.Errorf("architecture: got %q, want amd64", a)
			}
			if r := imageRelease(b); r != "6.1.0-99-test-amd64" {
				t.Errorf("release by header: got %q", r)
			}
			if r := imageRelease(got); r != "6.1.0-99-test-amd64" {
				t.Errorf("release by banner: got %q", r)
			}
			if _, err := vmlinuxFromBzImage(b, int64(len(kernel)-1)); err == nil {
				t.Error("a limit one byte below the size: got no error")
			}
			img, changed := bootImage(b, "amd64", t.Logf)
			if !changed || !bytes.Equal(img, kernel) {
				t.Error("the boot image is not the unpacked kernel")
			}
			// Every cut and many flipped bits must give an error or the same kernel, never a wrong one.
			rnd := rand.New(rand.NewPCG(3, 4))
			start := 4*512 + 0x40
			for range 60 {
				c := bytes.Clone(b)
				i := start + rnd.IntN(len(b)-start-28)
				c[i] ^= 1 << rnd.IntN(8)
				got, err := vmlinuxFromBzImage(c, 1<<20)
				// lz4's legacy frame and lzma have no sum: only their size is checked.
				if err == nil && !bytes.Equal(got, kernel) && kind != "lz4" && kind != "lzma" {
					t.Fatalf("bit flipped at %#x: got another kernel without an error", i)
				}
				if _, err := vmlinuxFromBzImage(b[:i], 1<<20); err == nil {
					t.Fatalf("cut at %#x: got no error", i)
				}
			}
		})
	}
}

func TestBzImageErrors(t *testing.T) {
	kernel := testKernel(true)
	good := testBzImage(pack(t, "gzip", kernel), len(kernel))
	change := func(f func(b []byte)) []byte {
		b := bytes.Clone(good)
		f(b)
		return b
	}
	le := binary.LittleEndian
	for _, tc := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "not a bzImage"},
		{"ELF", kernel, "not a bzImage"},
		{"old protocol", change(func(b []byte) { le.PutUint16(b[0x206:], 0x207) }), "boot protocol 2.07"},
		{"payload beyond the end", change(func(b []byte) { le.PutUint32(b[0x24c:], 1<<31) }), "not within the file"},
		{"offset beyond the end", change(func(b []byte) { le.PutUint32(b[0x248:], 0xffffffff) }), "not within the file"},
		{"no payload", change(func(b []byte) { le.PutUint32(b[0x24c:], 0) }), "not within the file"},
		{"unknown compression", change(func(b []byte) { b[4*512+0x40] = 'B' }), "unknown compression"},
		{"other size", testBzImage(pack(t, "gzip", kernel), len(kernel)+1), "its header says"},
		{"no kernel in it", testBzImage(pack(t, "gzip", []byte("hello")), 5), "not an ELF file"},
	} {
		if _, err := vmlinuxFromBzImage(tc.b, 1<<20); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
	// What cannot be unpacked, or would not boot unpacked, is booted as it is, and the log says why.
	noPVH := testKernel(false)
	for name, b := range map[string][]byte{
		"unknown compression": change(func(b []byte) { b[4*512+0x40] = 'B' }),
		"no PVH":              testBzImage(pack(t, "zstd", noPVH), len(noPVH)),
	} {
		var log string
		img, changed := bootImage(b, "amd64", func(f string, a ...any) { log += f })
		if changed || !bytes.Equal(img, b) || log == "" {
			t.Errorf("%s: changed %v, log %q, want the bzImage itself and a reason", name, changed, log)
		}
	}
}

func TestZboot(t *testing.T) {
	image := make([]byte, 5000)
	copy(image, "MZ")
	copy(image[56:], "ARM\x64")
	copy(image[1000:], "Linux version 7.2.13+deb14-arm64 (x) #1")
	for _, kind := range []string{"gzip", "zstd", "xz", "lz4"} {
		payload := pack(t, kind, image)
		z := make([]byte, 512)
		copy(z, "MZ\x00\x00zimg")
		binary.LittleEndian.PutUint32(z[8:], 512)
		binary.LittleEndian.PutUint32(z[12:], uint32(len(payload)))
		z = append(append(z, payload...), 0x88, 0x13, 0, 0)
		got, changed := bootImage(z, "arm64", t.Logf)
		if !changed || !bytes.Equal(got, image) {
			t.Errorf("%s: changed %v, got %d bytes, want the image's %d", kind, changed, len(got), len(image))
		}
		if a, r := imageArch(got), imageRelease(got); a != "arm64" || r != "7.2.13+deb14-arm64" {
			t.Errorf("%s: got %q %q, want arm64 7.2.13+deb14-arm64", kind, a, r)
		}
		binary.LittleEndian.PutUint32(z[12:], 1<<30)
		if _, err := unzboot(z, 1<<20); err == nil {
			t.Errorf("%s: payload beyond the end: got no error", kind)
		}
	}
	if got, changed := bootImage(image, "arm64", t.Logf); changed || !bytes.Equal(got, image) {
		t.Error("a plain Image was changed")
	}
	if got, changed := bootImage(pack(t, "gzip", image), "arm64", t.Logf); !changed || !bytes.Equal(got, image) {
		t.Error("Image.gz was not unpacked")
	}
}

func TestDecompressBombs(t *testing.T) {
	zeros := make([]byte, 4<<20)
	for _, kind := range []string{"gzip", "xz", "zstd", "lz4", "lzma"} {
		_, err := decompress(pack(t, kind, zeros), 1<<20)
		if err == nil {
			t.Errorf("%s: 4 MiB with a limit of 1 MiB: got no error", kind)
		}
	}
	if _, err := decompress(pack(t, "gzip", zeros), 1<<20); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v, want errTooLarge", err)
	}
}

func FuzzImage(f *testing.F) {
	kernel := testKernel(true)[:3000]
	for _, kind := range packers {
		f.Add(testBzImage(pack(f, kind, kernel), len(kernel)))
	}
	f.Add([]byte("MZ\x00\x00zimg" + strings.Repeat("\x10\x00\x00\x00", 20)))
	f.Fuzz(func(t *testing.T, b []byte) {
		imageArch(b)
		imageRelease(b)
		hasPVH(b)
		if v, err := vmlinuxFromBzImage(b, 1<<20); err == nil && len(v) > 1<<20 {
			t.Errorf("%d bytes, limit 1 MiB", len(v))
		}
		if v, err := unzboot(b, 1<<20); err == nil && len(v) > max(1<<20, len(b)) {
			t.Errorf("%d bytes, limit 1 MiB", len(v))
		}
	})
}

func FuzzDecompress(f *testing.F) {
	for _, kind := range packers {
		f.Add(pack(f, kind, testKernel(true)[:3000]))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := decompress(b, 1<<16); err == nil && len(v) > 1<<16 {
			t.Errorf("%d bytes, limit 64 KiB", len(v))
		}
	})
}

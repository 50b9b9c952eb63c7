package llvm

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// WriteObject writes a relocatable ELF object for BPF that holds nothing but the coverage mapping, in the three
// sections that llvm-cov looks for (llvm/include/llvm/ProfileData/InstrProfData.inc).
func WriteObject(w io.Writer, m *meta.Meta) error {
	const headerSize, sectionSize = 64, 64 // Elf64_Ehdr, Elf64_Shdr
	order := order(m)
	data := elf.ELFDATA2LSB
	if m.BigEndian {
		data = elf.ELFDATA2MSB
	}
	sections := []struct {
		name string
		kind elf.SectionType
		data []byte
	}{
		{"", elf.SHT_NULL, nil},
		{"__llvm_covmap", elf.SHT_PROGBITS, m.Covmap},
		{"__llvm_covfun", elf.SHT_PROGBITS, m.Covfun},
		{"__llvm_prf_names", elf.SHT_PROGBITS, m.Names},
		{".shstrtab", elf.SHT_STRTAB, nil},
	}
	var names, body bytes.Buffer
	headers := make([]elf.Section64, len(sections))
	for i, s := range sections {
		headers[i].Name = uint32(names.Len())
		names.WriteString(s.name + "\x00")
	}
	sections[len(sections)-1].data = names.Bytes()
	for i, s := range sections {
		if s.kind == elf.SHT_NULL {
			continue
		}
		body.Write(make([]byte, -body.Len()&7))
		headers[i].Type = uint32(s.kind)
		headers[i].Off = uint64(headerSize + body.Len())
		headers[i].Size = uint64(len(s.data))
		headers[i].Addralign = 8
		body.Write(s.data)
	}
	body.Write(make([]byte, -body.Len()&7))
	h := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_BPF), Version: uint32(elf.EV_CURRENT),
		Shoff: uint64(headerSize + body.Len()), Ehsize: headerSize,
		Shentsize: sectionSize, Shnum: uint16(len(sections)), Shstrndx: uint16(len(sections) - 1),
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(data), byte(elf.EV_CURRENT)
	var out bytes.Buffer
	for _, part := range []any{h, body.Bytes(), headers} {
		if err := binary.Write(&out, order, part); err != nil {
			return err
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

package collect

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// parseLineInfo returns the lines, by file name, that have instructions. Records are struct
// bpf_line_info of include/uapi/linux/bpf.h, of rec bytes each:
//
//	u32 instruction | u32 file name | u32 text of the line | u32 line << 10 | column
//
// where names are offsets into the strings of the program's BTF.
func parseLineInfo(records []byte, rec int, strings []byte, order binary.ByteOrder) map[string][]uint32 {
	if rec < 16 || len(strings) == 0 {
		return nil
	}
	byName := map[uint32][]uint32{}
	for ; len(records) >= rec; records = records[rec:] {
		name, line := order.Uint32(records[4:]), order.Uint32(records[12:])>>10
		if line == 0 {
			continue
		}
		if have := byName[name]; len(have) == 0 || have[len(have)-1] != line {
			byName[name] = append(have, line)
		}
	}
	var lines map[string][]uint32
	for off, l := range byName {
		if off >= uint32(len(strings)) {
			continue
		}
		name := strings[off:]
		end := bytes.IndexByte(name, 0)
		if end <= 0 {
			continue
		}
		slices.Sort(l)
		lines = unionLines(lines, map[string][]uint32{string(name[:end]): l})
	}
	return lines
}

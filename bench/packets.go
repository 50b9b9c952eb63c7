package main

import "encoding/binary"

// The packets that the programs get. Checksums are 0, nobody looks at them.

var be = binary.BigEndian

// ethernet returns a header for a protocol, behind VLAN tags.
func ethernet(proto uint16, vlans ...uint16) []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	for _, v := range vlans {
		b = be.AppendUint16(be.AppendUint16(b, 0x8100), v)
	}
	return be.AppendUint16(b, proto)
}

func ipv4(proto byte, payload []byte) []byte {
	b := []byte{0x45, 0}
	b = be.AppendUint16(b, uint16(20+len(payload)))
	b = append(b, 0, 1, 0, 0, 64, proto, 0, 0)
	b = append(b, 192, 0, 2, 1, 192, 0, 2, 2)
	return append(b, payload...)
}

// ipv6 returns a packet with an empty hop-by-hop header of 8 bytes.
func ipv6(proto byte, payload []byte) []byte {
	b := []byte{0x60, 0, 0, 0}
	b = be.AppendUint16(b, uint16(8+len(payload)))
	b = append(b, 0, 64)
	for _, last := range []byte{1, 2} {
		b = append(b, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last)
	}
	b = append(b, proto, 0, 1, 4, 0, 0, 0, 0)
	return append(b, payload...)
}

// tcpSYN has the options that Linux sends.
func tcpSYN(port uint16) []byte {
	options := []byte{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7}
	b := be.AppendUint16(be.AppendUint16(nil, 40000), port)
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 0, byte(20+len(options))/4<<4, 0x02, 0xff, 0xff, 0, 0, 0, 0)
	return append(b, options...)
}

func dnsQuestion(labels ...string) []byte {
	dns := []byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for _, l := range labels {
		dns = append(append(dns, byte(len(l))), l...)
	}
	dns = append(dns, 0, 0, 1, 0, 1)
	b := be.AppendUint16(be.AppendUint16(nil, 40000), 53)
	b = be.AppendUint16(b, uint16(8+len(dns)))
	return append(append(b, 0, 0), dns...)
}

func icmpEcho() []byte { return append([]byte{8, 0, 0, 0, 0, 1, 0, 1}, make([]byte, 24)...) }

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

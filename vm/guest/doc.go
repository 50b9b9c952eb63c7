// Package guest is both ends of the talk between a test machine and the host: the agent that runs
// as PID 1 of the guest, and the receiver that reads what it says.
//
// The guest's root file system is an initramfs with the agent as /init and a [Job] at [JobPath]. The agent
// prepares the machine, runs the job's tests one after the other and reports over one virtio-serial
// port, in one direction. The stream is a sequence of frames, all integers little endian:
//
//	 0      4  magic: bytes 0xbf 'c' 'o' 'v'
//	 4      1  protocol version = 1
//	 5      1  kind, see [Kind]
//	 6      1  flags: bit 0 = the message goes on in the next frame
//	 7      1  0
//	 8      4  sequence number, from 0, +1 a frame
//	12      4  payload length n, at most MaxPayload
//	16      n  payload
//	16+n    4  CRC-32 (IEEE) of bytes 0 to 16+n-1
//
// CRC-32C would be the faster one on bare metal, but Go's tables for it take 17 ms to make in an
// emulated guest, 1 % of a boot.
//
// Messages longer than a frame are sent as consecutive frames of one kind. The order of messages is
//
//	hello (run-start (stdout | stderr | counters | delta)* artefact* run-end)* end
//
// with log messages anywhere after hello. A run-start of the test that runs starts it anew: what came of it is void.
// hello, run-start and end are lines of a key and a quoted value, as
// the job is; stdout, stderr and log are bytes; counters is an encoded [collect.Record] of what was
// counted so far, and delta what changed since the last counters or delta ([collect.ApplyDelta]); artefact is a
// file: a 4-byte length, that many bytes of a name, and the content; run-end is a 4-byte length, that many bytes of such lines, and the final record if anything was counted. The end message is the only proof that the guest did its
// work: QEMU's exit status is 0 for a panic too.
//
// The guest runs code under test as root and is not trusted: every length, count and order is
// checked by [Receive], and what a guest can make the host store is bounded.
package guest

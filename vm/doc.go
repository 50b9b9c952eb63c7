// Package vm runs the tests of one cell of the matrix in a fresh virtual machine.
//
// [RunCell] puts the agent, the test's files and the kernel's own virtio modules into an initramfs, boots
// it with QEMU, receives what the agent says over a virtio-serial port, and gives back one
// [collect.Record] a test. A boot that fails before the agent's hello is repeated, since emulated
// boots of some kernels fail at random; nothing is repeated after it. Every wait has a deadline.
//
// The parts are usable alone: kernels fetches kernels, initramfs writes the archive, qemu starts the
// emulator, guest is the protocol and the agent. Package matrix schedules cells.
package vm

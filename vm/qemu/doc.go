// Package qemu starts and stops one QEMU system emulator with a kernel, an initramfs and a
// virtio-serial port, and knows the command lines that work for each architecture.
//
// The machine has no disk, no network, no display and no monitor; QEMU's seccomp sandbox is on. What the
// guest prints on its console goes to a bounded file. Frames travel over the port, which is one end of
// a socket pair, so there is no path to collide on and nothing to remove. QEMU dies with the process
// that started it.
//
// The package does not interpret what the guest says; see vm and vm/guest.
package qemu

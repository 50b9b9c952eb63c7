//go:build linux

// Command goinit is an init in Go that only powers off: what a Go program costs a guest at least.
package main

import "syscall"

func main() {
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // an init must not end
}

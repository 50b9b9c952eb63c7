package qemu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Config
		want string
	}{
		{"amd64", Config{Arch: "amd64", Kernel: "k", Initrd: "rd"},
			"qemu-system-x86_64 -M q35,accel=tcg -cpu max,-erms,-fsrm -m 512 -smp 1 -nodefaults -no-user-config -no-reboot -display none " +
				"-chardev stdio,id=console,signal=off -serial chardev:console -kernel k -initrd rd " +
				"-append <console=ttyS0 quiet panic=-1 cryptomgr.notests raid=noautodetect random.trust_cpu=on psmouse.proto=exps> " +
				"-device virtio-serial-pci,max_ports=2 -chardev socket,id=port,fd=3 -device virtserialport,nr=1,chardev=port,name=bpfcov"},
		{"arm64, everything", Config{Arch: "arm64", Kernel: "k", Initrd: "rd", Append: []string{"a=b"}, LSM: "yama,apparmor",
			MemoryMiB: 1024, CPUs: 2, Binary: "/q", Sandbox: true, Extra: []string{"-s"}},
			"/q -M virt,acpi=off,accel=tcg -cpu neoverse-n1 -m 1024 -smp 2 -nodefaults -no-user-config -no-reboot -display none " +
				"-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny " +
				"-chardev stdio,id=console,signal=off -serial chardev:console -kernel k -initrd rd " +
				"-append <console=ttyAMA0 quiet panic=-1 cryptomgr.notests raid=noautodetect random.trust_cpu=on kpti=0 lsm=yama,apparmor,bpf a=b> " +
				"-device virtio-serial-pci,max_ports=2 -chardev socket,id=port,fd=3 -device virtserialport,nr=1,chardev=port,name=bpfcov -s"},
		{"riscv64, bare", Config{Arch: "riscv64", Kernel: "k", NoPort: true, LSM: "yama,bpf"},
			"qemu-system-riscv64 -M virt,accel=tcg -cpu rv64 -m 512 -smp 1 -nodefaults -no-user-config -no-reboot -display none " +
				"-chardev stdio,id=console,signal=off -serial chardev:console -kernel k " +
				"-append <console=ttyS0 quiet panic=-1 cryptomgr.notests raid=noautodetect random.trust_cpu=on>"},
		{"s390x", Config{Arch: "s390x", Kernel: "k"},
			"qemu-system-s390x -M s390-ccw-virtio,accel=tcg -cpu max -m 512 -smp 1 -nodefaults -no-user-config -no-reboot -display none " +
				"-chardev stdio,id=console,signal=off -serial chardev:console -kernel k " +
				"-append <console=ttysclp0 quiet panic=-1 cryptomgr.notests raid=noautodetect random.trust_cpu=on> " +
				"-device virtio-serial-ccw,max_ports=2 -chardev socket,id=port,fd=3 -device virtserialport,nr=1,chardev=port,name=bpfcov"},
		{"kvm", Config{Arch: "amd64", Kernel: "k", NoPort: true, Accel: KVM},
			"qemu-system-x86_64 -M q35,accel=kvm -cpu host -m 512 -smp 1 -nodefaults -no-user-config -no-reboot -display none " +
				"-chardev stdio,id=console,signal=off -serial chardev:console -kernel k " +
				"-append <console=ttyS0 quiet panic=-1 cryptomgr.notests raid=noautodetect random.trust_cpu=on psmouse.proto=exps>"},
	} {
		args, err := Command(tt.c)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		for i, a := range args {
			if strings.Contains(a, " ") {
				args[i] = "<" + a + ">"
			}
		}
		if diff := cmp.Diff(tt.want, strings.Join(args, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestCommandRoots(t *testing.T) {
	for arch, bus := range map[string]string{"amd64": "pci", "s390x": "ccw"} {
		args, err := Command(Config{Arch: arch, Kernel: "k", Disk: "/a,b", Share: "/c,d", ShareTag: "tag"})
		if err != nil {
			t.Fatal(err)
		}
		want := "-drive if=none,id=disk,format=raw,readonly=on,file=/a,,b -device virtio-blk-" + bus + ",drive=disk " +
			"-fsdev local,id=share,security_model=none,readonly=on,multidevs=remap,path=/c,,d -device virtio-9p-" + bus + ",fsdev=share,mount_tag=tag"
		if got := strings.Join(args, " "); !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %s, want it to end with %s", arch, got, want)
		}
		if args, err = Command(Config{Arch: arch, Kernel: "k", Share: "/c,d", ShareTag: "tag", ShareDaemon: "d"}); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(args, " ")
		for _, want := range []string{
			",memory-backend=ram -cpu ", " -object memory-backend-memfd,id=ram,size=512M,share=on ",
			" -chardev socket,id=share,fd=8 -device vhost-user-fs-" + bus + ",chardev=share,tag=tag",
		} {
			if !strings.Contains(got, want) || strings.Contains(got, "-fsdev") {
				t.Errorf("%s: got %s, want %s in it and no 9p", arch, got, want)
			}
		}
	}
}

func TestCommandRefuses(t *testing.T) {
	for _, tt := range []struct {
		want string
		c    Config
	}{
		{`architecture "mips": no QEMU machine known, want one of amd64, arm64, ppc64le, riscv64, s390x`, Config{Arch: "mips", Kernel: "k"}},
		{"no kernel image", Config{Arch: "amd64"}},
		{`accelerator "hvf"`, Config{Arch: "amd64", Kernel: "k", Accel: "hvf"}},
		{"memory of 1 MiB", Config{Arch: "amd64", Kernel: "k", MemoryMiB: 1}},
		{"a machine with a share", Config{Arch: "amd64", Kernel: "k", Share: "/", ShareDaemon: "d", Save: true, RAM: os.Stdin}},
		{"-1 CPUs", Config{Arch: "amd64", Kernel: "k", CPUs: -1}},
	} {
		if _, err := Command(tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got error %v, want one with %q", err, tt.want)
		}
	}
}

// A machine that is saved and the one that is resumed have the same devices, in the same order.
func TestCommandSaved(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, arch := range []string{"amd64", "arm64", "ppc64le", "riscv64", "s390x"} {
		c := Config{Arch: arch, Kernel: "k", RAM: f, Save: true}
		saved, err := Command(c)
		if err != nil {
			t.Fatal(err)
		}
		c.Save, c.Incoming = false, f
		resumed, err := Command(c)
		if err != nil {
			t.Fatal(err)
		}
		devices := func(args []string) (out []string) {
			for i, a := range args {
				switch a {
				case "-M", "-cpu", "-m", "-smp", "-device":
					out = append(out, a, args[i+1])
				}
			}
			return out
		}
		if diff := cmp.Diff(devices(saved), devices(resumed)); diff != "" {
			t.Errorf("%s: devices (-saved +resumed):\n%s", arch, diff)
		}
		incoming := " -incoming fd:7 " // read without being told to, but for the one whose timers are to be set
		if arch == "riscv64" {
			incoming = " -incoming defer "
		}
		if s, r := strings.Join(saved, " "), strings.Join(resumed, " "); !strings.Contains(s, "share=on") || !strings.Contains(r, "share=off") ||
			strings.Contains(s, "-incoming") || !strings.Contains(r, incoming) || strings.Contains(r, "-mon ") != (arch == "riscv64") {
			t.Errorf("%s: got\n%s\n%s", arch, s, r)
		} else if timers := " -S -chardev socket,id=gdb,fd=5 -gdb chardev:gdb "; strings.Contains(s, timers) || strings.Contains(r, timers) != (arch == "riscv64") {
			t.Errorf("%s: got\n%s\n%s", arch, s, r)
		}
		c.RAM = nil
		if _, err := Command(c); err == nil {
			t.Errorf("%s: a state without memory was accepted", arch)
		}
	}
}

// A state that was left as QEMU wrote it can be read by a machine with its capability alone.
func TestCommandSavedWhole(t *testing.T) {
	var state stateParts
	state.head(ignoreShared)
	name := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(name, state.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	args, err := Command(Config{Arch: "arm64", Kernel: "k", RAM: f, Incoming: f})
	if s := strings.Join(args, " "); err != nil || !strings.Contains(s, " -incoming defer ") || !strings.Contains(s, "-mon ") {
		t.Errorf("got %s, %v", s, err)
	}
}

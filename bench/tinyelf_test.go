package main

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

func TestTrueRuns(t *testing.T) {
	b, err := trueELF(runtime.GOARCH)
	if err != nil {
		t.Skip(err)
	}
	name := filepath.Join(t.TempDir(), "true")
	if err := os.WriteFile(name, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(name).Run(); err != nil {
		t.Errorf("the smallest \"true\": got %v, want exit status 0", err)
	}
}

func TestPowerOffIsAnExecutable(t *testing.T) {
	for arch, want := range map[string]elf.Machine{
		"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "ppc64le": elf.EM_PPC64, "riscv64": elf.EM_RISCV, "s390x": elf.EM_S390,
	} {
		b, err := powerOffELF(arch)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != want || f.Type != elf.ET_EXEC || len(f.Progs) != 1 {
			t.Errorf("%s: got machine %v, type %v, %d segments, want %v, %v, 1", arch, f.Machine, f.Type, len(f.Progs), want, elf.ET_EXEC)
		}
	}
	if _, err := powerOffELF("mips"); err == nil {
		t.Error("mips: got no error, want one")
	}
}

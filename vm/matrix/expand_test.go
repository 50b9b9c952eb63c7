package matrix

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/internal/config"
)

func TestExpand(t *testing.T) {
	got, err := Expand(config.Matrix{
		Kernels: []string{"apt:bullseye", "apt:bookworm", "apt:bookworm"},
		Arch:    []string{"amd64", "arm64"},
		Exclude: []config.Cell{{Kernel: "apt:bullseye", Arch: "arm64"}},
		Include: []config.Cell{{Kernel: "apt:trixie", Arch: "riscv64"}, {Kernel: "apt:bookworm", Arch: "amd64"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Point{
		{"apt:bullseye", "amd64"}, {"apt:bookworm", "amd64"}, {"apt:bookworm", "arm64"}, {"apt:trixie", "riscv64"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestExpandErrors(t *testing.T) {
	for _, tt := range []struct {
		m    config.Matrix
		want string
	}{
		{config.Matrix{}, "the matrix is empty"},
		{config.Matrix{Kernels: []string{"a"}, Arch: []string{"x86_64"}}, `did you mean "amd64"?`},
		{config.Matrix{Kernels: []string{"a"}, Arch: []string{"arm46"}}, `did you mean "arm64"?`},
		{config.Matrix{Kernels: []string{"a"}, Exclude: []config.Cell{{Kernel: "b"}}}, `matrix.exclude[0] (kernel "b", arch "") excludes nothing`},
		{config.Matrix{Kernels: []string{"a"}, Exclude: []config.Cell{{}}}, "the matrix is empty"},
		{config.Matrix{Include: []config.Cell{{Kernel: "a"}}}, "matrix.include[0] needs both"},
	} {
		_, err := Expand(tt.m)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Expand(%+v): got %v, want it to contain %q", tt.m, err, tt.want)
		}
	}
}

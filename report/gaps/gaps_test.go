package gaps

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/report/model"
	"github.com/bpfcov/bpfcov/report/model/modeltest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestWrite(t *testing.T) {
	r, err := model.Build(modeltest.Data(t), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var text, doc bytes.Buffer
	groups := Find(r)
	if err := Write(&text, groups); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSON(&doc, groups); err != nil {
		t.Fatal(err)
	}
	var back struct{ Groups []Group }
	if err := json.Unmarshal(doc.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(groups, back.Groups); diff != "" {
		t.Errorf("from JSON:\n%s", diff)
	}
	modeltest.Golden(t, "matrix", *update, [2]string{"gaps.txt", text.String()}, [2]string{"gaps.json", doc.String()})
	text.Reset()
	if err := Write(&text, nil); err != nil || text.String() != "Every kernel ran the same code.\n" {
		t.Errorf("no gaps: %q, %v", &text, err)
	}
}

func TestExplain(t *testing.T) {
	r := &model.Report{}
	cell := func(kernel, arch string, llvm int) int {
		r.Cells = append(r.Cells, model.Cell{Cell: collect.Cell{Kernel: kernel, Arch: arch, LLVM: llvm}, Name: fmt.Sprint(kernel, "-", arch, "-", llvm)})
		return len(r.Cells) - 1
	}
	a510, a61, a612 := cell("5.10", "amd64", 19), cell("6.1.9", "amd64", 19), cell("6.12", "amd64", 19)
	b510, b61, b612 := cell("5.10", "arm64", 19), cell("6.1.9", "arm64", 19), cell("6.12", "arm64", 19)
	a61new, a61llvm, odd := cell("6.1.70", "amd64", 19), cell("6.1.9", "amd64", 14), cell("next", "amd64", 19)
	type cells = []int
	for _, x := range []struct {
		ran, not cells
		kind     Kind
		when     string
	}{
		{cells{a61, a612, b61, b612}, cells{a510, b510}, Kernel, "kernels before 6.1"},
		{cells{a510, b510}, cells{a61, a612, b61, b612}, Kernel, "kernels from 6.1 on"},
		{cells{a61new}, cells{a61}, Kernel, "kernels before 6.1.70"},
		{cells{a510, a61}, cells{b510, b61}, Arch, "arm64"},
		{cells{a61, b61}, cells{a61llvm}, LLVM, "LLVM 14"},
		{cells{a61, a612, b612}, cells{a510, b510, b61}, KernelArch, "amd64 kernels before 6.1, arm64 kernels before 6.12"},
		{cells{a61, a612, b510}, cells{a510, b61, b612}, KernelArch, "amd64 kernels before 6.1, arm64 kernels from 6.1 on"},
		{cells{a510, a612}, cells{a61}, Other, "6.1.9-amd64-19"},
		{cells{a510, odd}, cells{a61}, Other, "6.1.9-amd64-19"},
	} {
		if kind, when := explain(r, x.ran, x.not); kind != x.kind || when != x.when {
			t.Errorf("ran on %v, not on %v: got %s %q, want %s %q", names(r, x.ran), names(r, x.not), kind, when, x.kind, x.when)
		}
	}
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/verify"
)

// TestMain is also the worker that supervise starts: "fake" objects say what a loader does with them.
func TestMain(m *testing.M) {
	if os.Getenv("BPFCOV_TEST_WORKER") != "" {
		fakeWorker(os.Args[1:])
		return
	}
	os.Exit(m.Run())
}

// fakeWorker prints what a worker would, for the programs behind "skip N": one that hangs, one that kills it.
func fakeWorker(args []string) {
	skip := 0
	for i, a := range args {
		if a == "-skip" {
			fmt.Sscan(args[i+1], &skip)
		}
	}
	fmt.Println(`{"kernel":{"release":"6.1","arch":"amd64"}}`)
	fmt.Println(`{"result":{"file_name":"bad.o","verdict":"failed","class":"harness"}}`)
	for i, p := range []string{"a", "hang", "b", "crash", "c"} {
		if i < skip {
			continue
		}
		fmt.Printf(`{"begin":{"file_name":"x.o","prog_name":%q}}`+"\n", p)
		switch p {
		case "hang":
			time.Sleep(time.Hour)
		case "crash":
			os.Exit(9)
		}
		fmt.Printf(`{"result":{"file_name":"x.o","prog_name":%q,"verdict":"ok"}}`+"\n", p)
	}
	fmt.Println(`{"end":{"results":0}}`)
}

func TestSupervise(t *testing.T) {
	t.Setenv("BPFCOV_TEST_WORKER", "1")
	var out bytes.Buffer
	if err := supervise(&out, time.Second, 0, nil, []string{"x.o=x.o"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := verify.ReadStream(&out, func(r verify.Record) error {
		switch {
		case r.Kernel != nil:
			got = append(got, "kernel")
		case r.Result != nil:
			got = append(got, strings.TrimSpace(strings.Join([]string{r.Result.Program, string(r.Result.Verdict), string(r.Result.Class), r.Result.Reason}, " ")))
		case r.End != nil:
			got = append(got, fmt.Sprint("end ", r.End.Results))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"kernel", "failed harness", "a ok", "hang failed harness timed out: the kernel had worked on it for 1s", "b ok",
		"crash failed harness the process that loaded it ended: exit status 9", "c ok", "end 6"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what came of the programs (-want +got):\n%s", diff)
	}
}

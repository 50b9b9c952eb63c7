package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/collect"
)

// TestSlurm runs the example's matrix as a Slurm job array of three tasks, each of which finds its shard in its
// environment, and checks that the shards together are what one machine gives: each cell once, and a report that is
// equal byte by byte to that of one folder with everything.
func TestSlurm(t *testing.T) {
	if os.Getenv("BPFCOV_LONG") == "" {
		t.Skip("takes minutes; BPFCOV_LONG=1 (make test-long) runs it")
	}
	if os.Geteuid() != 0 {
		t.Skip("slurmd needs root")
	}
	for _, tool := range []string{"slurmctld", "slurmd", "sbatch", "sinfo"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("Slurm is not installed (package slurm-wlm): %v", err)
		}
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if out, err := exec.Command("go", "build", "-o", bin+"/", "../bpfcov", "../bpfcov-clang").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := buildAgents(t.Context())(bin); err != nil {
		t.Fatal(err)
	}
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(repo, "examples/filewatch/bpfcov.yaml")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("BPFCOV_CLANG", "clang-19")
	startSlurm(t, filepath.Join(dir, "slurm"))

	const tasks = 3
	script := filepath.Join(dir, "job.sh")
	// Tasks share this machine and its checkout, so they run one after the other (%1); on a cluster they need not.
	text := fmt.Sprintf("#!/bin/bash\nexec bpfcov run -c %q --shard auto --out %q/out.$SLURM_ARRAY_TASK_ID -- "+
		"./filewatch.test -test.v -test.run 'TestMountPoint|TestDeepPath|TestExec'\n", config, dir)
	if err := os.WriteFile(script, []byte(text), 0o777); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	out, err := exec.CommandContext(t.Context(), "sbatch", "--wait", "--chdir="+repo, fmt.Sprintf("--array=10-%d:10%%1", 10*tasks),
		"--output="+dir+"/log.%a", script).CombinedOutput()
	t.Logf("sbatch: %v after %v\n%s", err, time.Since(start).Round(time.Second), out)
	var dirs []string
	for k := 1; k <= tasks; k++ {
		log, readErr := os.ReadFile(fmt.Sprintf("%s/log.%d", dir, 10*k))
		if readErr != nil || !strings.Contains(string(log), fmt.Sprintf("shard %d/%d: 2 of 6 cells", k, tasks)) || err != nil {
			t.Errorf("task %d: %v\n%s", k, readErr, log)
		}
		dirs = append(dirs, fmt.Sprintf("%s/out.%d/covdata", dir, 10*k))
	}
	if t.Failed() {
		return
	}

	// Each cell once.
	data, err := collect.ReadDir(dirs...)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range data.Records {
		c := data.Records[i].Run.Cell
		got = append(got, c.Spec+" "+c.Arch)
	}
	slices.Sort(got)
	list, err := exec.Command("bpfcov", "matrix", "-c", config).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for l := range strings.Lines(string(list)) {
		want = append(want, strings.Join(strings.Fields(l), " "))
	}
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("cells: got %q, want %q", got, want)
	}

	// The same bytes as from one folder, in any order.
	whole, merged := filepath.Join(dir, "whole"), filepath.Join(dir, "merged")
	if err := os.Mkdir(whole, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if out, err := exec.Command("sh", "-c", `cp "$0"/* "$1"`, d, whole).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if out, err := exec.Command("bpfcov", append([]string{"merge", "-o", merged}, dirs...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	one := reportBytes(t, whole)
	if !bytes.Equal(one, reportBytes(t, merged)) {
		t.Error("the report of the merged shards is not that of one folder")
	}
	if !bytes.Equal(one, reportBytes(t, dirs...)) {
		t.Error("the report of the shards is not that of one folder")
	}
	slices.Reverse(dirs)
	if !bytes.Equal(one, reportBytes(t, dirs...)) {
		t.Error("the report of the shards depends on their order")
	}
}

// reportBytes is everything that reports say of folders.
func reportBytes(t *testing.T, dirs ...string) []byte {
	t.Helper()
	var all []byte
	for _, format := range []string{"--json=-", "--lcov=-", "--junit=-", "--markdown=-"} {
		out, err := exec.Command("bpfcov", append([]string{"report", format}, dirs...)...).Output()
		if err != nil || len(out) == 0 {
			t.Fatalf("bpfcov report %s: %v", format, err)
		}
		all = append(all, out...)
	}
	return all
}

// startSlurm starts a controller and a node of a cluster of its own on this machine, and waits for the node.
func startSlurm(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{"state", "spool"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ = strings.Cut(host, ".")
	conf := fmt.Sprintf(`ClusterName=bpfcov
SlurmctldHost=%[1]s(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation=%[2]s/state
SlurmdSpoolDir=%[2]s/spool
SlurmctldPidFile=%[2]s/slurmctld.pid
SlurmdPidFile=%[2]s/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/builtin
NodeName=%[1]s NodeAddr=127.0.0.1 CPUs=%[3]d State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
`, host, dir, runtime.NumCPU())
	file := filepath.Join(dir, "slurm.conf")
	if err := os.WriteFile(file, []byte(conf), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SLURM_CONF", file)
	for _, args := range [][]string{{"slurmctld", "-D", "-i"}, {"slurmd", "-D"}} {
		log, err := os.Create(filepath.Join(dir, args[0]+".log"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
			log.Close()
		})
	}
	var state []byte
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		if state, err = exec.Command("sinfo", "-h", "-o", "%t").CombinedOutput(); err == nil && strings.TrimSpace(string(state)) == "idle" {
			return
		}
	}
	logs, _ := exec.Command("sh", "-c", `tail "$0"/*.log`, dir).CombinedOutput()
	t.Fatalf("the node is not idle after a minute: %s\n%s", state, logs)
}

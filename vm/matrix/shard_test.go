package matrix

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bpfcov/bpfcov/collect"
)

func TestShardFromEnv(t *testing.T) {
	for _, x := range []struct {
		env  string
		want string // "K/N from", or part of an error
	}{
		{"", "1/1 "},
		{"CI_NODE_INDEX=2 CI_NODE_TOTAL=5", "2/5 GitLab"},
		{"CI_NODE_TOTAL=1", "1/1 "}, // GitLab sets it in every job
		{"BUILDKITE_PARALLEL_JOB=0 BUILDKITE_PARALLEL_JOB_COUNT=5", "1/5 Buildkite"},
		{"BUILDKITE_PARALLEL_JOB=4 BUILDKITE_PARALLEL_JOB_COUNT=5", "5/5 Buildkite"},
		{"CIRCLE_NODE_INDEX=1 CIRCLE_NODE_TOTAL=3", "2/3 CircleCI"},
		{"JOB_COMPLETION_INDEX=0 BPFCOV_SHARD_TOTAL=3", "1/3 Kubernetes"},
		{"JOB_COMPLETION_INDEX=0", "BPFCOV_SHARD_TOTAL is not"},
		{"SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=4 SLURM_ARRAY_TASK_STEP=1", "1/4 Slurm"},
		{"SLURM_ARRAY_TASK_ID=15 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_MAX=20 SLURM_ARRAY_TASK_STEP=5", "3/4 Slurm"},
		{"BPFCOV_SHARD_INDEX=2 BPFCOV_SHARD_TOTAL=3 CI_NODE_INDEX=1 CI_NODE_TOTAL=9", "3/3 BPFCOV_SHARD_INDEX"},
		{"BPFCOV_SHARD=2/3 CI_NODE_INDEX=1 CI_NODE_TOTAL=9", "2/3 BPFCOV_SHARD"},
		{"BPFCOV_SHARD=4/3", "want K from 1 to N"},
		{"CI_NODE_INDEX=6 CI_NODE_TOTAL=5", "GitLab: shard 6/5: want K from 1 to N"},
		{"CI_NODE_INDEX=x CI_NODE_TOTAL=5", `CI_NODE_INDEX="x" is not a number`},
	} {
		env := map[string]string{}
		for _, kv := range strings.Fields(x.env) {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		s, from, err := ShardFromEnv(func(k string) string { return env[k] })
		got := fmt.Sprint(s, " ", from)
		if err != nil {
			got = err.Error()
		}
		if got != x.want && (err == nil || !strings.Contains(got, x.want)) {
			t.Errorf("%s: got %q, want %q", x.env, got, x.want)
		}
	}
	for _, bad := range []string{"", "1", "0/3", "4/3", "1/0", "a/b", "-1/2", "1/99999", "1/2/3"} {
		if s, err := ParseShard(bad); err == nil {
			t.Errorf("%q is accepted as %v", bad, s)
		}
	}
}

func TestSplit(t *testing.T) {
	var points []Point
	costs := Costs{}
	for i := range 23 {
		p := Point{fmt.Sprintf("apt:k%d", i), []string{"amd64", "arm64"}[i%2]}
		points = append(points, p)
		if i%5 != 0 { // the others are new
			costs[p] = time.Duration(10+17*i%40) * time.Second
		}
	}
	total, most := time.Duration(0), time.Duration(0)
	for _, p := range points {
		total += costs.of(p)
		most = max(most, costs.of(p))
	}
	for n := 1; n <= 30; n++ {
		parts := Split(points, n, costs)
		var all []Point
		for k, part := range parts {
			var sum time.Duration
			for _, p := range part {
				sum += costs.of(p)
			}
			// Graham's bound for greedy scheduling.
			if sum > total/time.Duration(n)+most {
				t.Errorf("part %d of %d costs %v, of %v", k+1, n, sum, total)
			}
			if !slices.IsSortedFunc(part, func(a, b Point) int { return slices.Index(points, a) - slices.Index(points, b) }) {
				t.Errorf("part %d of %d is not in the order of the matrix: %v", k+1, n, part)
			}
			all = append(all, part...)
		}
		if slices.SortFunc(all, func(a, b Point) int { return slices.Index(points, a) - slices.Index(points, b) }); !slices.Equal(all, points) {
			t.Errorf("%d parts together are %v", n, all)
		}
		if diff := cmp.Diff(parts, Split(points, n, costs)); diff != "" {
			t.Errorf("%d parts the second time:\n%s", n, diff)
		}
	}
	// Without costs the parts differ by one point at most.
	for _, part := range Split(points, 4, nil) {
		if len(part) != 5 && len(part) != 6 {
			t.Errorf("a part of %d points of %d", len(part), len(points))
		}
	}
}

func TestCostsOf(t *testing.T) {
	record := func(id, kernel, spec, arch string, d, boot time.Duration) collect.Record {
		return collect.Record{Run: collect.Run{ID: id, Cell: collect.Cell{Kernel: kernel, Spec: spec, Arch: arch}, Duration: d, Boot: boot}}
	}
	got := CostsOf([]collect.Record{record("1", "6.1", "apt:a", "amd64", 5, 3), record("2", "6.1", "apt:a", "amd64", 7, 3),
		record("2", "6.1", "apt:a", "amd64", 7, 3), record("3", "6.2", "apt:a", "amd64", 1, 1), record("4", "6.1", "apt:a", "arm64", 20, 0),
		record("5", "6.1", "", "amd64", 99, 0)})
	if diff := cmp.Diff(Costs{{"apt:a", "amd64"}: 15, {"apt:a", "arm64"}: 20}, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if d := got.of(Point{"apt:b", "arm64"}); d != 20 {
		t.Errorf("a new kernel on arm64 costs %v", d)
	}
}

package matrix

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bpfcov/bpfcov/collect"
)

// maxShards bounds the number of parts.
const maxShards = 10000

// Shard is part K, from 1, of N parts of a matrix that run on machines of their own.
type Shard struct{ K, N int }

func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.K, s.N) }

// ParseShard reads "2/5".
func ParseShard(s string) (Shard, error) {
	k, n, ok := strings.Cut(s, "/")
	x, err1 := strconv.Atoi(k)
	y, err2 := strconv.Atoi(n)
	if !ok || err1 != nil || err2 != nil {
		return Shard{}, fmt.Errorf("shard %q: want K/N, for example 2/5", s)
	}
	return Shard{x, y}.check()
}

func (s Shard) check() (Shard, error) {
	if s.N < 1 || s.N > maxShards || s.K < 1 || s.K > s.N {
		return Shard{}, fmt.Errorf("shard %s: want K from 1 to N, and N to %d", s, maxShards)
	}
	return s, nil
}

// engine says how an engine tells a job which part it is.
type engine struct {
	name         string
	index, total string // variables
	base         int    // value of index for the first part
}

// engines are asked in this order; a job of one engine may run inside of another's. bpfcov's own variables
// come first: a workflow of GitHub sets them, whose runner has none, and a Kubernetes job must say
// how many completions it has.
func engines() []engine {
	return []engine{
		{"BPFCOV_SHARD_INDEX", "BPFCOV_SHARD_INDEX", "BPFCOV_SHARD_TOTAL", 0}, // strategy.job-index, strategy.job-total
		{"Slurm", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", 0},         // see slurm
		{"Kubernetes", "JOB_COMPLETION_INDEX", "BPFCOV_SHARD_TOTAL", 0},       // Indexed completion mode
		{"Buildkite", "BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0},
		{"CircleCI", "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", 0},
		{"GitLab", "CI_NODE_INDEX", "CI_NODE_TOTAL", 1},
	}
}

// ShardFromEnv finds the part that this job is in the environment that its engine gives: GitHub (by
// BPFCOV_SHARD_INDEX and BPFCOV_SHARD_TOTAL, which the workflow sets), GitLab, Buildkite, CircleCI, Kubernetes
// (Indexed jobs, with BPFCOV_SHARD_TOTAL) and Slurm (job arrays). from names what was found, and is
// "" when nothing was; the whole matrix is then one part.
func ShardFromEnv(getenv func(string) string) (s Shard, from string, err error) {
	if v := getenv("BPFCOV_SHARD"); v != "" {
		s, err = ParseShard(v)
		return s, "BPFCOV_SHARD", err
	}
	for _, e := range engines() {
		if getenv(e.index) == "" {
			continue
		}
		number := func(name string) int {
			n, convErr := strconv.Atoi(getenv(name))
			if convErr != nil && err == nil {
				err = fmt.Errorf("%s: %s=%q is not a number", e.name, name, getenv(name))
			}
			return n
		}
		if getenv(e.total) == "" {
			return s, e.name, fmt.Errorf("%s: %s is set and %s is not, so the number of shards is not known", e.name, e.index, e.total)
		}
		s.K, s.N = number(e.index)-e.base+1, number(e.total)
		if e.name == "Slurm" {
			// --array=5-20:5 counts 5, 10, 15, 20.
			s.K = (number("SLURM_ARRAY_TASK_ID")-number("SLURM_ARRAY_TASK_MIN"))/max(1, number("SLURM_ARRAY_TASK_STEP")) + 1
		}
		if err != nil {
			return Shard{}, e.name, err
		}
		if s, err = s.check(); err != nil {
			err = fmt.Errorf("%s: %w", e.name, err)
		}
		return s, e.name, err
	}
	return Shard{1, 1}, "", nil
}

// Costs is how long the cells of a matrix took in an earlier run.
type Costs map[Point]time.Duration

// CostsOf sums up the runs of each point of the matrix: all of its tests, and its boot. The same point on
// another kernel, after an update, counts with the longest time.
func CostsOf(records []collect.Record) Costs {
	type cell struct {
		point  Point
		kernel string
	}
	sums, boots := map[cell]time.Duration{}, map[cell]time.Duration{}
	seen := map[string]bool{}
	for i := range records {
		run := &records[i].Run
		if run.Cell.Spec == "" || run.ID != "" && seen[run.ID] {
			continue
		}
		seen[run.ID] = true
		c := cell{Point{run.Cell.Spec, run.Cell.Arch}, run.Cell.Kernel}
		sums[c] += run.Duration
		boots[c] = max(boots[c], run.Boot)
	}
	costs := Costs{}
	for c, d := range sums {
		costs[c.point] = max(costs[c.point], d+boots[c])
	}
	return costs
}

// of is the cost of a point: as it was, else the mean of its architecture's, else the mean of all.
func (c Costs) of(p Point) time.Duration {
	if d, ok := c[p]; ok {
		return max(d, 1)
	}
	var same, all []time.Duration
	for q, d := range c {
		all = append(all, d)
		if q.Arch == p.Arch {
			same = append(same, d)
		}
	}
	if len(same) == 0 {
		same = all
	}
	if len(same) == 0 {
		return time.Second
	}
	var sum time.Duration
	for _, d := range same {
		sum += d
	}
	return max(sum/time.Duration(len(same)), 1)
}

// Split divides points into n parts whose costs are as equal as dividing greedily makes them: the costliest point
// first, each to the part that has least so far. Each part keeps the order of points. The result depends
// on its arguments only, so that machines which know the same agree without talking to each other.
func Split(points []Point, n int, costs Costs) [][]Point {
	order := make([]int, len(points))
	cost := make([]time.Duration, len(points))
	for i, p := range points {
		order[i], cost[i] = i, costs.of(p)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(cost[b], cost[a]) })
	sums := make([]time.Duration, n)
	in := make([][]int, n)
	for _, i := range order {
		least := 0
		for k := range sums {
			if sums[k] < sums[least] || sums[k] == sums[least] && len(in[k]) < len(in[least]) {
				least = k
			}
		}
		sums[least] += cost[i]
		in[least] = append(in[least], i)
	}
	parts := make([][]Point, n)
	for k := range in {
		slices.Sort(in[k])
		for _, i := range in[k] {
			parts[k] = append(parts[k], points[i])
		}
	}
	return parts
}

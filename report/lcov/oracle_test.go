package lcov_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bpfcov/bpfcov/instrument/covmap"
)

type toolset struct {
	major                int
	clang, profdata, cov string
	csmith               string // "" for our own generator
}

// csmithInclude is where distributions put csmith.h.
const csmithInclude = "/usr/include/csmith"

func findCsmith(t *testing.T) string {
	path, err := exec.LookPath("csmith")
	if err == nil {
		_, err = os.Stat(filepath.Join(csmithInclude, "csmith.h"))
	}
	if err != nil {
		t.Skip("csmith and its headers are not installed:", err)
	}
	return path
}

func findTools(t *testing.T, major int, required bool) toolset {
	s := toolset{major: major}
	for name, p := range map[string]*string{"clang": &s.clang, "llvm-profdata": &s.profdata, "llvm-cov": &s.cov} {
		path, err := exec.LookPath(fmt.Sprintf("%s-%d", name, major))
		if err != nil {
			if required && os.Getenv("CI") == "true" {
				t.Fatalf("CI needs LLVM %d: %v", major, err)
			}
			t.Skipf("LLVM %d is not installed: %v", major, err)
		}
		*p = path
	}
	return s
}

// normalise drops the totals, and sorts the branches of each line by what was taken, because
// the order of llvm-cov 19 among branches of one column is an accident of its sort.
func normalise(tracefile string) []string {
	var out, line []string
	at := ""
	flush := func() {
		slices.Sort(line)
		out = append(out, line...)
		line = line[:0]
	}
	var pair string
	for s := range strings.Lines(tracefile) {
		s = strings.TrimSuffix(s, "\n")
		tag, rest, _ := strings.Cut(s, ":")
		switch tag {
		case "FNF", "FNH", "BRF", "BRH", "LF", "LH":
			continue
		case "BRDA":
			v := strings.Split(rest, ",") // line, pair, branch, taken
			if v[0] != at {
				flush()
				at = v[0]
			}
			n, _ := strconv.Atoi(v[2])
			if n%2 == 0 {
				pair = v[3]
				continue
			}
			line = append(line, "BRDA:"+v[0]+" "+pair+"/"+v[3])
		default:
			flush()
			at = ""
			out = append(out, s)
		}
	}
	flush()
	return out
}

// totals returns the six totals of each file of a tracefile.
func totals(tracefile string) []string {
	var out []string
	cur := ""
	for s := range strings.Lines(tracefile) {
		s = strings.TrimSuffix(s, "\n")
		tag, rest, _ := strings.Cut(s, ":")
		switch tag {
		case "SF":
			cur = rest
		case "FNF", "FNH", "BRF", "BRH", "LF", "LH":
			cur += " " + s
		case "end_of_record":
			out = append(out, cur)
		}
	}
	return out
}

// randomCounters gives each function counters of one size class; some functions have none.
func randomCounters(m *covmap.Mapping, seed uint64) map[*covmap.Function][]uint64 {
	rng := rand.New(rand.NewPCG(seed, 0xc0))
	out := make(map[*covmap.Function][]uint64)
	for _, f := range m.Functions {
		class := rng.IntN(6)
		if f.Dummy() || f.NumCounters == 0 || class == 0 {
			continue // not in the profile
		}
		v := make([]uint64, f.NumCounters)
		for i := range v {
			switch n := rng.Uint64(); {
			case rng.IntN(4) == 0: // 0
			case class == 1:
				v[i] = n % 2
			case class == 5:
				v[i] = n - 4 // the greatest two numbers mean something else to llvm-profdata
				if n < 4 {
					v[i] = n
				}
			case class == 4:
				v[i] = n >> 31
			default:
				v[i] = n % 1000
			}
		}
		out[f] = v
	}
	return out
}

// textProfile writes the counters in the text format of llvm-profdata.
func textProfile(m *covmap.Mapping, counters map[*covmap.Function][]uint64) []byte {
	var b bytes.Buffer
	for _, f := range m.Functions {
		if v := counters[f]; v != nil {
			fmt.Fprintf(&b, "%s\n%d\n%d\n", f.Name, f.Hash, len(v))
			for _, n := range v {
				fmt.Fprintln(&b, n)
			}
			fmt.Fprintln(&b)
		}
	}
	return b.Bytes()
}

package collect

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bpfcov/bpfcov/instrument/meta"
	"github.com/google/go-cmp/cmp"
)

func sampleRecord() *Record {
	counts := make([]uint64, 1000)
	states := make([]CounterState, 1000)
	for i := range counts {
		counts[i] = uint64(i * i)
		states[i] = CounterState(i / 250)
	}
	counts[7] = math.MaxUint64
	return &Record{
		Run: Run{
			ID: "00112233aabbccdd", Cell: Cell{Kernel: "6.1.0-37-amd64", Arch: "amd64", LLVM: 19, Accel: "tcg"},
			Test: "unit/one", Command: []string{"./test", "-v"}, Outcome: Failed, ExitCode: 1,
			Duration: 3 * time.Second, Cases: []Case{{Name: "TestOpen", Outcome: Passed, Duration: 5}},
		},
		Objects: []ObjectCounters{
			{ObjectID: meta.ObjectID{1, 2}, Width: 8, Maps: 2, Counts: counts, States: states,
				Flows: []Flow{{Unknown: true}, {Before: []FlowSite{{Counter: 1, First: true, Next: []uint32{0}}}, After: []FlowSite{{Exit: true, Any: true}}}}},
			{ObjectID: meta.ObjectID{3}, Width: 1, Maps: 1, Counts: []uint64{0, 1}},
		},
		Programs: []ProgramLoad{{Name: "open", Type: "Kprobe", Loads: 2, Verdict: VerdictOK, Insns: 30}},
	}
}

func encode(t testing.TB, r *Record) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := EncodeRecord(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRecordRoundTrip(t *testing.T) {
	for name, want := range map[string]*Record{
		"full":  sampleRecord(),
		"empty": {Run: Run{Test: "t"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := encode(t, want)
			if again := encode(t, want); !bytes.Equal(b, again) {
				t.Error("encoding twice gives different bytes")
			}
			r := bytes.NewReader(append(b, "next"...))
			got, err := DecodeRecord(r)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if r.Len() != len("next") {
				t.Errorf("got %d bytes left after the record, want 4", r.Len())
			}
		})
	}
}

func TestDecodeRecordRefuses(t *testing.T) {
	good := encode(t, sampleRecord())
	for n := range good {
		if _, err := DecodeRecord(bytes.NewReader(good[:n])); !errors.Is(err, ErrTruncated) {
			t.Fatalf("first %d of %d bytes: got %v, want ErrTruncated", n, len(good), err)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		_, err := DecodeRecord(bytes.NewReader(bad))
		// A damaged size may also claim more than there is.
		if !errors.Is(err, ErrFormat) && !(i >= 16 && i < 24 && errors.Is(err, ErrTruncated)) {
			t.Fatalf("byte %d damaged: got %v, want ErrFormat", i, err)
		}
	}
	newer := bytes.Clone(good)
	newer[8] = 2
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"text":  {[]byte("TN:\nSF:a.c\n" + strings.Repeat("DA:1,1\n", 20)), "starts with 54 4e"},
		"short": {[]byte("TN:"), "starts with 54 4e"},
		"newer": {newer, "version 2"},
	} {
		_, err := DecodeRecord(bytes.NewReader(c.in))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want ErrFormat with %q", name, err, c.want)
		}
	}
}

// Sections that pass the checksum but make no sense: a newer or a broken writer.
func TestParsePayload(t *testing.T) {
	run := appendSection(nil, kindRun, []byte(`{"test":"t"}`))
	obj := func(tail ...byte) []byte {
		return appendSection(bytes.Clone(run), kindObject, append(make([]byte, 16), tail...))
	}
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"nothing":        {nil, "no run section"},
		"two runs":       {append(bytes.Clone(run), run...), "twice"},
		"unknown kind":   {appendSection(bytes.Clone(run), 9, nil), "newer bpfcov"},
		"section size":   {append(bytes.Clone(run), kindObject, 200), "too early"},
		"width":          {obj(4, 1, 0, 0, 0), "width 4"},
		"counts missing": {obj(8, 1, 3, 1), "too early"},
		"too few states": {obj(8, 1, 2, 0, 0, 1, 4, 1, 0), "1 states for 2"},
		"state value":    {obj(8, 1, 1, 0, 1, 9, 1, 0), "state 9"},
		"state overflow": {obj(8, 1, 1, 0, 1, 4, 2, 0), "2 counters of state 4"},
		"flow":           {obj(8, 1, 1, 0, 0, 1, 0, 1, 3, 0), "there is not"},
		"trailing":       {obj(8, 1, 0, 0, 0, 0), "1 bytes after"},
		"bad json":       {appendSection(nil, kindRun, []byte("{")), "JSON"},
	} {
		_, err := parsePayload(c.in)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	if _, err := parsePayload(appendSection(run, kindOptional+1, []byte("future"))); err != nil {
		t.Errorf("an optional section of unknown kind: got %v, want it skipped", err)
	}
}

func TestReadDir(t *testing.T) {
	a, b := t.TempDir(), filepath.Join(t.TempDir(), "new")
	first := sampleRecord()
	if _, err := WriteRecord(a, first); err != nil {
		t.Fatal(err)
	}
	partial := sampleRecord() // the same run, earlier, in another folder
	partial.Run.Partial, partial.Run.Duration = true, time.Second
	partial.Objects[1].Counts[0] = 0
	if _, err := WriteRecord(b, partial); err != nil {
		t.Fatal(err)
	}
	second := sampleRecord()
	second.Run.ID, second.Run.Cell.Kernel = "", "5.10.0"
	p1, err := WriteRecord(b, second)
	if err != nil {
		t.Fatal(err)
	}
	if p2, err := WriteRecord(b, second); err != nil || p1 != p2 {
		t.Fatalf("writing the same record again: got %s, %v, want %s", p2, err, p1)
	}
	for _, name := range []string{"lcov.info", tempPrefix + "123"} {
		if err := os.WriteFile(filepath.Join(b, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, dirs := range [][]string{{a, b}, {b, a}, {a, b, a, b}} {
		d, err := ReadDir(dirs...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Record{*second, *first}, d.Records); diff != "" {
			t.Errorf("ReadDir(%d folders): -want +got:\n%s", len(dirs), diff)
		}
	}
	left, err := filepath.Glob(filepath.Join(b, "*"))
	if err != nil || len(left) != 4 {
		t.Errorf("got files %v (%v), want two records and two others", left, err)
	}
}

func TestReadDirNamesBadFiles(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadDir(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("empty folder: got %v, want an error that names it", err)
	}
	path, err := WriteRecord(dir, sampleRecord())
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"truncated": {good[:len(good)-1], ErrTruncated},
		"foreign":   {[]byte("mode: set\n"), ErrFormat},
		"trailing":  {append(bytes.Clone(good), 0), ErrFormat},
		"empty":     {nil, ErrTruncated},
	} {
		if err := os.WriteFile(path, c.content, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadDir(dir); !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %v that names %s", name, err, c.want, path)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(encode(f, sampleRecord()))
	f.Add(encode(f, &Record{}))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := DecodeRecord(bytes.NewReader(in))
		if err != nil {
			return
		}
		encode(t, r)
	})
}

// FuzzParsePayload starts behind the checksum, which stops nearly everything in FuzzDecodeRecord.
func FuzzParsePayload(f *testing.F) {
	for _, r := range []*Record{sampleRecord(), {}} {
		raw, err := appendPayload(nil, r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := parsePayload(in)
		if err != nil {
			return
		}
		again, err := DecodeRecord(bytes.NewReader(encode(t, r)))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, again); d != "" {
			t.Errorf("-decoded +encoded and decoded again:\n%s", d)
		}
	})
}

// Payloads around the size from which on they are compressed.
func TestRecordSizes(t *testing.T) {
	for n := 0; n < 3000; n += 61 {
		want := &Record{Run: Run{ID: "0123456789abcdef", Test: "t", Outcome: Failed, Reason: strings.Repeat("ab", n/2)}}
		var b bytes.Buffer
		if err := EncodeRecord(&b, want); err != nil {
			t.Fatal(err)
		}
		got, err := DecodeRecord(&b)
		if err != nil {
			t.Fatalf("reason of %d bytes: %v", n, err)
		}
		if got.Run.Reason != want.Run.Reason {
			t.Errorf("reason of %d bytes: got %d bytes", n, len(got.Run.Reason))
		}
	}
}

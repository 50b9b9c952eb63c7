package guest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clerk is orders that writes down what it is told.
type clerk struct {
	got  []string
	size int
}

func (c *clerk) resume(r Resume) error {
	c.got = append(c.got, fmt.Sprintf("resume at %d with %x", r.Time.UnixNano(), r.Seed))
	return nil
}

func (c *clerk) file(f File) error {
	c.got = append(c.got, fmt.Sprintf("file %s %v %q %d", f.Path, f.Mode, f.Link, f.Size))
	return nil
}

func (c *clerk) data(b []byte) error {
	c.size += len(b)
	return nil
}

func wholeOrders(t testing.TB) []byte {
	t.Helper()
	content := []string{strings.Repeat("x", dataChunk+1), "", "", "yz"}
	files := []File{
		{Path: "/bin/test", Mode: 0o755 | fs.ModeSetuid, Size: int64(len(content[0]))}, {Path: "/d", Mode: fs.ModeDir | 0o700},
		{Path: "/l", Link: "bin/test"}, {Path: "/f\n", Mode: 0o644, Size: 2},
	}
	job, err := Job{Tests: []Test{{Name: "a", Command: []string{"true"}}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	open := func(i int) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content[i])), nil }
	if err := Send(&b, Resume{time.Unix(0, 42), []byte{0, 0xff}}, files, open, job); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestOrders(t *testing.T) {
	var c clerk
	job, err := follow(bytes.NewReader(wholeOrders(t)), &c)
	if err != nil {
		t.Fatal(err)
	}
	if len(job.Tests) != 1 || job.Tests[0].Name != "a" || job.Warm {
		t.Errorf("got job %+v", job)
	}
	want := []string{
		"resume at 42 with 00ff", fmt.Sprintf("file /bin/test %v \"\" %d", 0o755|fs.ModeSetuid, dataChunk+1),
		`file /d drwx------ "" 0`, `file /l ---------- "bin/test" 0`, "file /f\n -rw-r--r-- \"\" 2",
	}
	if diff := cmp.Diff(want, c.got); diff != "" {
		t.Errorf("orders (-want +got):\n%s", diff)
	}
	if c.size != dataChunk+3 {
		t.Errorf("got %d bytes of data, want %d", c.size, dataChunk+3)
	}
}

func TestOrdersCutOff(t *testing.T) {
	b := wholeOrders(t)
	for _, n := range []int{0, 1, 15, 60, 100, 300, dataChunk, len(b) - 1} {
		if _, err := follow(bytes.NewReader(b[:n]), &clerk{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: got error %v, want io.ErrUnexpectedEOF", n, len(b), err)
		}
	}
}

func TestOrdersOrder(t *testing.T) {
	file := File{Path: "/f", Size: 2}.encode()
	resume := Resume{}.encode()
	job, err := Job{Warm: true}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		s    *stream
		want string
	}{
		{"no resume", newStream(t).raw(KindFile, file), "file out of order"},
		{"two", newStream(t).raw(KindResume, resume).raw(KindResume, resume), "resume out of order"},
		{"no data", newStream(t).raw(KindResume, resume).raw(KindFile, file).raw(KindFile, file), "file out of order"},
		{"data of nothing", newStream(t).raw(KindResume, resume).raw(KindData, []byte("x")), "data out of order"},
		{"too much", newStream(t).raw(KindResume, resume).raw(KindFile, file).raw(KindData, []byte("xyz")), "more data"},
		{"empty data", newStream(t).raw(KindResume, resume).raw(KindFile, file).raw(KindData, nil), "more data"},
		{"of a guest", newStream(t).raw(KindResume, resume).raw(KindEnd, nil), "end"},
		{"the agent's", newStream(t).raw(KindResume, resume).raw(KindFile, File{Path: "/bpfcov/job"}.encode()), "/bpfcov/job"},
		{"unclean", newStream(t).raw(KindResume, resume).raw(KindFile, File{Path: "/a/../b"}.encode()), "/a/../b"},
		{"mode", newStream(t).raw(KindResume, resume).raw(KindFile, []byte("mode \"9\"\n")), "octal"},
		{"waits again", newStream(t).raw(KindResume, resume).raw(KindJob, job), "waits for orders"},
	} {
		if _, err := follow(&tt.s.b, &clerk{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestWaitReady(t *testing.T) {
	if err := WaitReady(&newStream(t).raw(KindReady, nil).b); err != nil {
		t.Error(err)
	}
	if err := WaitReady(&newStream(t).raw(KindHello, nil).b); !errors.Is(err, ErrFrame) {
		t.Errorf("hello: got error %v, want ErrFrame", err)
	}
	if err := WaitReady(strings.NewReader("")); !errors.Is(err, ErrNoEnd) {
		t.Errorf("nothing: got error %v, want ErrNoEnd", err)
	}
}

func FuzzOrders(f *testing.F) {
	f.Add(wholeOrders(f))
	f.Fuzz(func(t *testing.T, b []byte) { follow(bytes.NewReader(b), &clerk{}) })
}

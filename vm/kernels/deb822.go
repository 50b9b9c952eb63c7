package kernels

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

const maxLine = 1 << 20 // bytes of one line of a control file

// A stanza is one paragraph of a deb822(5) file. Keys are in lower case; continuation lines are joined by newlines,
// without their leading blank, and a line of a single dot stands for an empty one.
type stanza map[string]string

// readStanzas calls f for each stanza of r. keep, when set, is asked with the first line of each; stanzas that it
// refuses are skipped unparsed, which matters for an index of 60,000 packages.
func readStanzas(r io.Reader, keep func(first string) bool, f func(stanza) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 64<<10), maxLine)
	var cur stanza
	var key string
	skip, line := false, 0
	flush := func() error {
		s := cur
		cur, key, skip = nil, "", false
		if len(s) == 0 {
			return nil
		}
		return f(s)
	}
	for sc.Scan() {
		line++
		raw := sc.Bytes()
		if len(raw) == 0 || strings.TrimSpace(string(raw)) == "" {
			if err := flush(); err != nil {
				return err
			}
			continue
		}
		if skip || raw[0] == '#' {
			continue
		}
		text := string(raw)
		if cur == nil {
			if keep != nil && !keep(text) {
				skip = true
				continue
			}
			cur = stanza{}
		}
		if raw[0] == ' ' || raw[0] == '\t' {
			if key == "" {
				return fmt.Errorf("line %d: continuation without a field", line)
			}
			text = strings.TrimSpace(text)
			if text == "." {
				text = ""
			}
			cur[key] += "\n" + text
			continue
		}
		k, v, ok := strings.Cut(text, ":")
		if !ok || k == "" {
			return fmt.Errorf("line %d: no field name in %.60q", line, text)
		}
		key = strings.ToLower(strings.TrimSpace(k))
		cur[key] = strings.TrimSpace(v)
	}
	if err := sc.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return fmt.Errorf("line %d is longer than %d bytes", line+1, maxLine)
		}
		return err
	}
	return flush()
}

// A source is one enabled entry of the host's sources: binary packages of some suites of one or more mirrors.
type source struct {
	uris       []string
	suites     []string
	components []string
	// options are the fields that say how the source is verified and read (Signed-By, Trusted, …), by their
	// deb822 name.
	options map[string]string
}

// sourceOptions maps the option names of one-line sources to those of deb822 ones, as far as they are carried over
// to the private root (sources.list(5)).
var sourceOptions = [][2]string{
	{"signed-by", "Signed-By"},
	{"trusted", "Trusted"},
	{"allow-insecure", "Allow-Insecure"},
	{"allow-weak", "Allow-Weak"},
	{"allow-downgrade-to-insecure", "Allow-Downgrade-To-Insecure"},
	{"check-valid-until", "Check-Valid-Until"},
	{"check-date", "Check-Date"},
	{"valid-until-max", "Valid-Until-Max"},
	{"valid-until-min", "Valid-Until-Min"},
	{"date-max-future", "Date-Max-Future"},
	{"inrelease-path", "InRelease-Path"},
	{"by-hash", "By-Hash"},
}

// parseSources reads a file of /etc/apt/sources.list.d with the ending .sources.
func parseSources(r io.Reader) ([]source, error) {
	var out []source
	err := readStanzas(r, nil, func(st stanza) error {
		enabled := strings.ToLower(strings.TrimSpace(st["enabled"]))
		if enabled == "no" || enabled == "false" || enabled == "0" || !hasField(st["types"], "deb") {
			return nil
		}
		s := source{
			uris: strings.Fields(st["uris"]), suites: strings.Fields(st["suites"]),
			components: strings.Fields(st["components"]), options: map[string]string{},
		}
		for _, o := range sourceOptions {
			if v, ok := st[o[0]]; ok {
				s.options[o[1]] = v
			}
		}
		out = append(out, s)
		return nil
	})
	return out, err
}

func hasField(list, want string) bool {
	for f := range strings.FieldsSeq(list) {
		if f == want {
			return true
		}
	}
	return false
}

// parseSourceList reads a file in the one-line style: "deb [key=value …] URI SUITE COMPONENT…". Lines that apt would
// refuse are refused too.
func parseSourceList(r io.Reader) ([]source, error) {
	var out []source
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxLine)
	for line := 1; sc.Scan(); line++ {
		text, _, _ := strings.Cut(sc.Text(), "#")
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		typ, rest, _ := strings.Cut(strings.ReplaceAll(text, "\t", " "), " ")
		if typ != "deb" {
			if typ == "deb-src" {
				continue
			}
			return nil, fmt.Errorf("line %d: unknown type %q", line, typ)
		}
		s := source{options: map[string]string{}}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			opts, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				return nil, fmt.Errorf("line %d: options without a closing bracket", line)
			}
			for o := range strings.FieldsSeq(opts) {
				k, v, _ := strings.Cut(o, "=")
				for _, known := range sourceOptions {
					if strings.EqualFold(k, known[0]) {
						// Several values are separated by commas here and by blanks in deb822.
						s.options[known[1]] = strings.ReplaceAll(v, ",", " ")
					}
				}
			}
			rest = after
		}
		f := strings.Fields(rest)
		if len(f) < 2 {
			return nil, fmt.Errorf("line %d: want a URI and a suite", line)
		}
		s.uris, s.suites, s.components = f[:1], f[1:2], f[2:]
		out = append(out, s)
	}
	return out, sc.Err()
}

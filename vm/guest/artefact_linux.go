package guest

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// sendArtefacts sends the files that the test was to leave: those of its globs, and Go's coverage data. It returns an
// error only when the port failed. Only regular files are sent, and what is too much is left out and said.
func sendArtefacts(s *sender, t Test) error {
	var names []string
	globs := t.Artefacts
	if empty, _ := emptyDir(GoCoverDir); !empty {
		globs = append([]string{GoCoverDir + "/*"}, globs...)
	}
	for _, glob := range globs {
		if !path.IsAbs(glob) {
			glob = path.Join("/", t.Dir, glob)
		}
		found, err := filepath.Glob(glob)
		if err != nil { // checked on the host
			continue
		}
		names = append(names, found...)
	}
	sum, sent := 0, map[string]bool{}
	for _, name := range names {
		// A test may leave a link to anything of the guest's, and that is its right: there is nothing of the host's.
		if sent[name] {
			continue
		}
		sent[name] = true
		b, err := readRegular(name)
		switch {
		case err != nil:
			s.log(fmt.Errorf("test %s: artefact %w", t.Name, err))
			continue
		case sum+len(b) > MaxArtefacts || len(sent) > MaxArtefactFiles:
			s.log(fmt.Errorf("test %s: artefact %s and those after it are left out: they are more than %d files or %d bytes",
				t.Name, name, MaxArtefactFiles, MaxArtefacts))
			return nil
		}
		sum += len(b)
		a := Artefact{Name: strings.TrimPrefix(path.Clean(name), "/"), Content: b}
		if _, err := decodeArtefact(a.encode()); err != nil {
			s.log(fmt.Errorf("test %s: %w", t.Name, err))
			continue
		}
		if err := s.send(KindArtefact, a.encode()); err != nil {
			return err
		}
	}
	return nil
}

// readRegular reads a file of at most MaxArtefact bytes. It does not wait for a pipe or a device.
func readRegular(name string) ([]byte, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	bad := func(why string) ([]byte, error) {
		return nil, &fs.PathError{Op: "send", Path: name, Err: fmt.Errorf("%s", why)}
	}
	switch {
	case !st.Mode().IsRegular():
		return bad("not a regular file")
	case st.Size() > MaxArtefact:
		return bad(fmt.Sprintf("%d bytes, more than %d", st.Size(), MaxArtefact))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxArtefact+1))
	if err == nil && len(b) > MaxArtefact {
		return bad("it grows")
	}
	return b, err
}

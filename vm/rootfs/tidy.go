package rootfs

import (
	"archive/tar"
	"fmt"
	"io"
	"path"
	"strings"
)

// tidy copies an archive with names as sqfstar wants them: it refuses the root itself (".", which archives made with "tar -C
// DIR ." begin with once their names are cleaned) and "..". What would lead above the root stays in it, as for the kernel.
func tidy(r io.Reader) io.ReadCloser {
	out, w := io.Pipe()
	go func() { w.CloseWithError(copyTidy(w, r)) }()
	return out
}

func copyTidy(w io.Writer, r io.Reader) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	for {
		h, err := in.Next()
		if err == io.EOF {
			if _, err := io.Copy(io.Discard, io.LimitReader(r, maxSize)); err != nil { // a damaged compression shows behind the end
				return err
			}
			return out.Close()
		}
		if err != nil {
			return err
		}
		h.Name = inRoot(h.Name)
		if h.Name == "" || h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if h.Typeflag == tar.TypeDir {
			h.Name += "/"
		}
		if h.Typeflag == tar.TypeLink {
			h.Linkname = inRoot(h.Linkname)
		}
		h.Format = tar.FormatUnknown // whichever holds what it says
		if err := out.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		if _, err := io.Copy(out, in); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// inRoot is the path below the root that a name of an archive means, "" for the root.
func inRoot(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

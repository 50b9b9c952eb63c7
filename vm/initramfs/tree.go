package initramfs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// Tree lists everything in the host's folder dir as files below the guest's folder guest, symbolic
// links as links. Sockets, pipes and devices are left out. A dir that is a single file gives one File.
func Tree(dir, guest string) ([]File, error) {
	st, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if st.Mode().IsRegular() {
		return []File{{Path: guest, Source: dir}}, nil
	}
	var files []File
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		f := File{Path: path.Join(guest, filepath.ToSlash(rel))}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch d.Type() {
		case fs.ModeDir:
			f.Mode = fs.ModeDir | info.Mode().Perm()
		case fs.ModeSymlink:
			if p == dir { // the root was given as a link to a folder
				return nil
			}
			if f.Link, err = os.Readlink(p); err != nil {
				return err
			}
		case 0:
			f.Source = p
		default:
			return nil
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("files of %s: %w", dir, err)
	}
	return files, nil
}

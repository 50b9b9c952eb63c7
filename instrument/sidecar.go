package instrument

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bpfcov/bpfcov/instrument/meta"
)

// writeSidecars puts the coverage data of an object into $BPFCOV_META_DIR, if set, and into the
// cache. An output that is no file (-o -, /dev/null) or has no counters needs none.
func writeSidecars(object string, c Clang) (warning, err error) {
	fi, err := os.Stat(object)
	if err != nil || !fi.Mode().IsRegular() {
		return nil, nil
	}
	f, err := os.Open(object)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	metas, err := meta.FromELF(f, meta.Build{Clang: c.VersionLine, LLVM: c.Major, Object: filepath.Base(object)})
	if errors.Is(err, meta.ErrNoCoverage) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", object, err)
	}
	chosen := os.Getenv("BPFCOV_META_DIR")
	cache, cacheErr := meta.DefaultDir()
	for _, m := range metas {
		if chosen != "" {
			if _, err := meta.Write(chosen, m); err != nil {
				return nil, fmt.Errorf("%s: BPFCOV_META_DIR: %w", object, err)
			}
		}
		if cacheErr == nil {
			_, cacheErr = meta.Write(cache, m)
		}
	}
	if cacheErr != nil && chosen == "" {
		// The object has the data itself: whoever has the object needs no sidecar.
		return fmt.Errorf("%s: no sidecar written, set BPFCOV_META_DIR or BPFCOV_CACHE: %w", object, cacheErr), nil
	}
	return nil, nil
}

// cacheDir is $BPFCOV_CACHE or bpfcov in the user's cache folder.
func cacheDir() (string, error) {
	dir, err := meta.DefaultDir()
	return filepath.Dir(dir), err
}

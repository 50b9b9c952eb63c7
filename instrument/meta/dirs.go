package meta

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
)

// DefaultDir is the folder that every sidecar is written to: $BPFCOV_CACHE/meta, or bpfcov/meta in
// the user's cache folder ([os.UserCacheDir]). It need not exist.
func DefaultDir() (string, error) {
	cache := os.Getenv("BPFCOV_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no cache folder (set BPFCOV_CACHE): %w", err)
		}
		cache = filepath.Join(user, "bpfcov")
	}
	return filepath.Join(cache, "meta"), nil
}

// SearchDirs are the folders in which the sidecar of an object is looked for: $BPFCOV_META_DIR, [DefaultDir], and under sudo, which
// hides the cache of the user who compiled, that user's bpfcov/meta. Folders need not exist.
func SearchDirs() []string {
	var dirs []string
	if d := os.Getenv("BPFCOV_META_DIR"); d != "" {
		dirs = append(dirs, d)
	}
	if d, err := DefaultDir(); err == nil {
		dirs = append(dirs, d)
	}
	if uid := os.Getenv("SUDO_UID"); uid != "" && os.Geteuid() == 0 {
		if u, err := user.LookupId(uid); err == nil && filepath.IsAbs(u.HomeDir) {
			dirs = append(dirs, filepath.Join(u.HomeDir, ".cache/bpfcov/meta"))
		}
	}
	return dirs
}

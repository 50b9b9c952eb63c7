package main

import (
	"bytes"
	"maps"
	"os"
	"slices"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// saveRecords adds records to a covdata folder, with the descriptions of their objects from the build's
// folder or the user's cache.
func saveRecords(dir string, recs []collect.Record) ([]string, error) {
	var dirs []string
	if d := os.Getenv("BPFCOV_META_DIR"); d != "" {
		dirs = append(dirs, d)
	}
	d, err := meta.DefaultDir()
	if err == nil {
		dirs = append(dirs, d)
	}
	return collect.Save(dir, recs, dirs...)
}

func sortedIDs(data *collect.Data) []meta.ObjectID {
	ids := slices.Collect(maps.Keys(data.Metas))
	slices.SortFunc(ids, func(a, b meta.ObjectID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

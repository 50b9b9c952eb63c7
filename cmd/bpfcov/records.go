package main

import (
	"bytes"
	"maps"
	"slices"

	"github.com/bpfcov/bpfcov/collect"
	"github.com/bpfcov/bpfcov/instrument/meta"
)

// saveRecords adds records to a covdata folder, with the descriptions of their objects from the build's
// folder or the user's cache, see [meta.SearchDirs].
func saveRecords(dir string, recs []collect.Record) ([]string, error) {
	return collect.Save(dir, recs, meta.SearchDirs()...)
}

func sortedIDs(data *collect.Data) []meta.ObjectID {
	ids := slices.Collect(maps.Keys(data.Metas))
	slices.SortFunc(ids, func(a, b meta.ObjectID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

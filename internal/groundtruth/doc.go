// Package groundtruth checks reports against a program whose counts are known by construction.
//
// testdata/truth.bpf.c has, beside each line with code, the count or status that every report must
// show for it (see [ParseWants]). The command in loader runs it a known number of times from two
// processors at once. [Check] compares.
//
// The package does not build, load or boot anything outside of its tests.
package groundtruth

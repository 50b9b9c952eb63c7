// Package model is the picture that every report draws: what ran, cell by cell, and why not where it
// did not.
//
// It is the only place where cells meet. Counters of one object id in one cell are added; everything
// else (several objects in a cell, several kernels, architectures and compilers) meets by source
// position only: a line by file and number, a branch by file, position and its rank among equals, a
// function by file, name and first line. Counters of different objects are never added.
//
//	records ──group──▶ (cell, object id) ──covmap──▶ lines, branches, functions
//	                                                   │  count and rank of each
//	                      objects of a cell ◀──────────┘
//	                           │  counts add, the best known rank wins
//	                           ▼
//	                 files × positions × cells ──▶ summaries, differences, lcov
//
// A count that is not zero is a hit. Otherwise the rank says why: what the optimiser removed, what no
// program brought into the kernel, what the kernel refused, what its verifier removed, and what could
// have run and did not. Code that the verifier of a kernel removed leaves that cell's denominator;
// code that is missing for any other reason stays.
//
// The package does not read files, neither sources nor covdata, and does not format anything.
package model

// Package reporthtml writes a report as one static site, for people.
//
// The site opens from disk (file://), without a server and without the network, and is small enough to be
// an artefact of a CI job:
//
//	index.html       the frame; a strict content security policy, no inline script and no inline style
//	app.js, app.css  what is in assets/, joined
//	data/report.js   cells, files, figures, differences: what the first page needs
//	data/functions.js, data/programs.js, data/tests.js
//	                 loaded when their page is opened
//	data/f0.js, ...  one for each source file: its text and what became of its lines and branches
//
// fetch() does not work on file://, a script element does. So each data file is a script of one call,
// bpfcovData("f0", x), where x is the JSON itself or, when that is large, base64 of its raw DEFLATE (RFC 1951),
// which browsers inflate by themselves.
//
// Positions that fare alike in all cells share one entry: a line is a number into a list of state vectors, and each
// vector is run-length coded over the cells (see [table]). 50,000 lines in 200 cells are ten million states, and
// a few thousand vectors.
//
// All text that is shown (names of an ELF file, lines of a source, what a guest printed) is untrusted. It reaches the page
// as the text of nodes only; the policy refuses everything else, and Trusted Types make the browser enforce it.
//
// Sources are read below one folder when the report is written; what is missing there is shown without
// text. The package does not read covdata and does not decide what anything means: see report/model.
package reporthtml

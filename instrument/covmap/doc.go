// Package covmap decodes LLVM's coverage mapping and evaluates it, natively.
//
// clang -fcoverage-mapping describes each function as a list of source regions, each with a
// counter or an expression over counters. [Decode] reads that from an ELF object, and
// [Mapping.Evaluate] turns values of the counters into lines, branches and functions exactly as
// llvm-cov does. The values need not be counts: an [Algebra] says what a counter is worth and how
// equal regions combine, so the same machine also computes statuses.
//
// The package does not read profiles (profraw, profdata), does not compute MC/DC, and does not
// know where counters live at run time; see instrument/meta and collect for that. It knows nothing
// of kernels.
//
// # Format
//
// Read are mapping versions 4 to 7, by LLVM's names; the number stored in the object is one less.
//
//	name      stored  written by LLVM  new
//	Version4  3       11               function records in a section of their own
//	Version5  4       12               branch regions
//	Version6  5       13 to 17         the first file name is the compilation directory
//	Version7  6       18 and later     MC/DC regions
//
// Integers of fixed size have the object's byte order, u is unsigned LEB128.
//
//	__llvm_covmap, a header for each compile unit, each aligned to 8
//	  +-------------+--------------------+------------------+-------------+
//	  | u32 0       | u32 file name size | u32 0            | u32 version |
//	  +-------------+-------+------------+-------+----------+-------------+
//	  | u number of names n | u plain size | u zlib size, 0 when plain | names |
//	  +---------------------+--------------+----------------+----------------+
//	  names = n times (u length, bytes), perhaps compressed as one zlib stream
//
//	__llvm_covfun, a record for each function, each aligned to 8; clang puts every record into a
//	section of its own of that name
//	  +---------------+---------------+---------------+--------------------+----------+
//	  | u64 name hash | u32 data size | u64 func hash | u64 file name hash | data ... |
//	  +---------------+---------------+---------------+--------------------+----------+
//	  name hash      = low 64 bits of MD5 of the function's profile name
//	  file name hash = the same of the encoded file names of its header in __llvm_covmap
//
//	data
//	  u number of files,       u index of each in the file names
//	  u number of expressions, u left and u right counter of each
//	  for each file: u number of regions, regions
//
//	counter: two low bits 0 zero, 1 counter, 2 difference, 3 sum; the rest is an index
//
//	region: u header [u extra ...] u line delta, u column, u lines spanned, u end column
//	  header  low bits not 00: a code region with that counter
//	          low bits 100:    expansion of file header>>3
//	          low bits 000:    kind header>>3: 0 code that never runs, 2 skipped,
//	                           4 branch (extra: true and false counter),
//	                           5 MC/DC decision (2 extra), 6 MC/DC branch (5 extra)
//	  end column with bit 31 set makes it a gap region, whatever the header says;
//	  column and end column both 0 mean whole lines
//
//	__llvm_prf_names: chunks of (u plain size, u zlib size or 0, payload), names separated by 0x01
//
// Sources: LLVM's docs/CoverageMappingFormat.rst and the reader, evaluator and exporters in
// llvm/lib/ProfileData/Coverage and llvm/tools/llvm-cov, releases 14, 19 and 22. A differential
// test compares every figure with the llvm-cov that is installed.
package covmap

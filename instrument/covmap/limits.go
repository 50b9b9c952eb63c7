package covmap

// Bounds on what is read. All are far above what a compiler makes of real sources (the whole
// Linux kernel has some 50,000 files) and low enough that a hostile object cannot exhaust memory.
const (
	maxSection  = 64 << 20 // bytes of each of the three sections, after ELF decompression
	maxNames    = 64 << 20 // bytes of names in all, after decompression
	maxFiles    = 1 << 20  // file names in all
	maxPath     = 64 << 20 // bytes of file names in all, after joining with the directory
	maxRegions  = 4 << 20  // regions in all
	maxFileIDs  = 4 << 20  // file ids of all functions
	maxExprs    = 8 << 20  // expressions of all functions
	maxLine     = 1 << 24  // greatest line number
	maxColumn   = 1<<31 - 1
	maxLines    = 8 << 20  // lines with code in one evaluation, in all files
	maxNesting  = 4096     // regions that are open at one place
	maxBranches = 4 << 20  // branches and the macro uses around them in one evaluation
	maxOperands = 32 << 20 // counters and expressions of all functions of a plan
	maxDepth    = 256      // macro uses and inclusions inside one another
)

// Package llvmpass holds the source of the LLVM pass plugin, so that a bpfcov that was installed by
// "go install" can build the plugin for the LLVM it meets. It contains no code of its own.
package llvmpass

import (
	"embed"
	"io/fs"
)

//go:embed CMakeLists.txt include lib
var source embed.FS

// Source returns the plugin's source tree: CMakeLists.txt, include/bpfcov/*.h and lib/*.cpp.
func Source() fs.FS { return source }

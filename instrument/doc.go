// Package instrument is a drop-in clang that instruments BPF objects: it decides which calls compile
// C for a bpf target, adds the coverage options and the LLVM pass plugin to those, passes every other
// call to the real clang untouched, and writes what the counters mean into a sidecar file.
//
// [Main] is the whole command. [FindClang], [FindPlugin] and [EnsurePlugin] are its parts, for
// commands that want to report on them. The package does not decode mappings (instrument/covmap) and
// knows nothing of kernels.
//
// Environment:
//
//	BPFCOV_CLANG     the real clang, a path or a name on PATH; default: the newest usable clang-N
//	BPFCOV_META_DIR  folder that receives OBJECTID.meta of every object
//	BPFCOV_CACHE     cache folder, default bpfcov in the user's cache folder
//	BPFCOV_FIDELITY  region (default), probe, line or off: for functions that no policy names
//	BPFCOV_COUNTER   atomic (default) or flag, likewise
//	BPFCOV_POLICY    the policy file, or none; default: the nearest bpfcov.policy.yaml at or above the
//	                 source's folder, within the repository (see instrument/policy)
//	BPFCOV_DISABLE   1 makes every call an untouched one
package instrument

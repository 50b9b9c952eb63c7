// Package covtest gathers the coverage of instrumented BPF objects under plain "go test", on the running kernel, without the bpfcov
// command:
//
//	func TestMain(m *testing.M) { covtest.Main(m) }
//
//	func TestOpen(t *testing.T) {
//		covtest.Count(t) // what counts until the end of t is t's
//		…
//	}
//
// With BPFCOV_COVDATA=DIR in the environment, the test binary runs itself once more under [collect.Watch] and adds to the covdata
// folder DIR a record for each test that calls [Count], and one for what remains. "bpfcov report DIR" shows it. Without the variable,
// or where nothing can be watched by construction (an operating system other than Linux), the tests run as ever.
//
// Objects have to be compiled by bpfcov-clang, and their descriptions found: in BPFCOV_META_DIR or the user's cache.
package covtest

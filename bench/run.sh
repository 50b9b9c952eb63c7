#!/usr/bin/env bash
# run.sh [BENCHMARK…]: runs the benchmarks (all without arguments) and prints Markdown, ready for README.md, which
# says what they measure. N=… sets the number of samples, BPFCOV_CLANG the compiler. Needs what "make" builds, root, and
# kernels, which are fetched.
set -euo pipefail
cd "$(dirname "$0")/.."

# The one that make builds the plugin for, whatever else is installed: figures differ between compilers.
export BPFCOV_CLANG=${BPFCOV_CLANG:-clang-19}
mkdir -p build/bench
go build -o build/bench/bench ./bench
(cd bench/coverbee && go build -o ../../build/bench/coverbee .)
[ $# -gt 0 ] || set -- cell run verify
build/bench/bench env
for benchmark; do
	if [ "$benchmark" = selftests ]; then # KERNELS=SPEC,… for others
		go build -o build/bench/transparency ./bench/transparency
		build/bench/transparency -agree -clang "${BPFCOV_CLANG##*-}" -kernels "${KERNELS-apt:bullseye/5.10,apt:bookworm/6.1,apt:trixie/6.12,apt:sid/7.*}"
		continue
	fi
	boots=()
	case $benchmark in cell | steps | boots) IFS=, read -ra boots <<<"${KERNELS:-}" ;; esac # KERNELS=ARCH=SPEC,… for others
	build/bench/bench ${N:+-n "$N"} "$benchmark" ${boots[@]+"${boots[@]}"}
done

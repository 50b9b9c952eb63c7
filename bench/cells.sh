#!/usr/bin/env bash
# cells.sh [DIR]: runs examples/filewatch in the 16 cells of bpfcov.all.yaml and a kernel from a tarball, once cold and once
# warm, and prints how long each took. A cell that fails makes it fail. Needs what "make" and "make setup-demo" leave.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-build/cells}
export BPFCOV_CLANG=${BPFCOV_CLANG:-clang-19}
mkdir -p "$out"
out=$(cd "$out" && pwd)

# The tarball: Debian's generic flavour of 6.1, which the matrix has not, laid out as an unpacked distribution has it.
bin/bpfcov kernels pull apt:bookworm/6.1@generic --json >"$out/kernel.json"
field() { sed -n "s/^ *\"$1\": \"\(.*\)\",*$/\1/p" "$out/kernel.json" | head -1; }
if [ ! -e "$out/kernel.tar.gz" ]; then
	tar --transform "s,^.*/vmlinuz$,boot/vmlinuz-$(field release)," --transform "s,^.*/config$,boot/config-$(field release)," \
		--transform 's,^.*/lib/modules/,lib/modules/,' -Pczf "$out/kernel.tar.gz" "$(field packed)" "$(field config)" "$(field modules)"
fi
# --config names the folder of the build, so the file stands beside the other.
config=examples/filewatch/.cells.yaml
trap 'rm -f "$config"' EXIT
{
	cat examples/filewatch/bpfcov.all.yaml # its last list is matrix.include
	echo "    - {kernel: \"tar:$out/kernel.tar.gz\", arch: amd64}"
} >"$config"

run() { # NAME FLAG…
	local name=$1 start=$SECONDS
	rm -rf "${out:?}/$name"
	# Without CI, which would mean cold.
	env -u CI bin/bpfcov run -c "$config" --out "$out/$name" "${@:2}" >"$out/$name.txt" || status=$?
	cat "$out/$name.txt"
	echo "$name: $((SECONDS - start)) s for $(ls "$out/$name/cells" | wc -l) cells, exit status ${status:-0}"
	return "${status:-0}"
}
run cold --cold
run first # saves the guests that are not saved yet
run warm

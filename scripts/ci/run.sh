#!/usr/bin/env bash
# run.sh: bpfcov run with the inputs of action.yml, which are in the environment. It fails only when it cannot say how
# the run ended: the reports are wanted of a failed run too.
set -euo pipefail
out=${INPUT_OUT:-bpfcov-out}
args=(run "--out=$out")
[ -z "${INPUT_CONFIG:-}" ] || args+=("--config=$INPUT_CONFIG")
[ -z "${INPUT_ARCH:-}" ] || args+=("--arch=$INPUT_ARCH")
[ -z "${INPUT_SHARD:-}" ] || args+=("--shard=$INPUT_SHARD")
while IFS= read -r spec; do
	[ -z "$spec" ] || args+=("--kernel=$spec")
done <<<"${INPUT_KERNEL:-}"
status=0
bpfcov "${args[@]}" || status=$?
echo "status=$status" >>"$GITHUB_OUTPUT"

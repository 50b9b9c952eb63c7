#!/usr/bin/env bash
# report.sh: summary, annotations, thresholds and files for Codecov, with the inputs of action.yml, which are in the
# environment.
set -euo pipefail
out=${INPUT_OUT:-bpfcov-out}
covdata=$out/covdata
finish() {
	echo "status=$1" >>"$GITHUB_OUTPUT"
	exit 0
}
if [ ! -d "$covdata" ]; then
	echo "nothing ran, so there is nothing to report" >&2
	finish 0
fi
gates=()
lines() { # FLAG TEXT: a flag for each line
	local line
	while IFS= read -r line; do
		[ -z "$line" ] || gates+=("--$1=$line")
	done <<<"$2"
}
lines fail-under-lines "${INPUT_FAIL_UNDER_LINES:-}"
lines fail-under-branches "${INPUT_FAIL_UNDER_BRANCHES:-}"
lines fail-under-functions "${INPUT_FAIL_UNDER_FUNCTIONS:-}"
lines require "${INPUT_REQUIRE:-}"
[ -z "${INPUT_CHANGED_SINCE:-}" ] || gates+=("--changed-since=$INPUT_CHANGED_SINCE")

# Everything, whatever the thresholds say of it.
bpfcov report "--lcov=$out/merged.info" "--junit=$out/junit.xml" "--cobertura=$out/cobertura.xml" "--codecov=$out/codecov" "$covdata"
status=0
bpfcov report ${gates[@]+"${gates[@]}"} "--markdown=$out/summary.md" "$covdata" || status=$?
[ "$status" -le 1 ] || finish "$status"
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
	cat "$out/summary.md" >>"$GITHUB_STEP_SUMMARY"
fi
if [ "${INPUT_ANNOTATIONS:-true}" = true ]; then
	# The thresholds are said once, by the call before.
	bpfcov report ${gates[@]+"${gates[@]}"} --annotations=- "$covdata" 2>/dev/null || true
fi

# One cell is an upload under its flag; several are one without.
flags=("$out"/codecov/*.lcov)
if [ ${#flags[@]} = 1 ] && [ -e "${flags[0]}" ]; then
	name=$(basename "${flags[0]}" .lcov)
	flag=$(sed -n 's/^  \([^ ]*\):$/\1/p' "$out/codecov/codecov.yml")
	{
		echo "file=${flags[0]}"
		echo "flag=$flag"
		echo "name=$name"
	} >>"$GITHUB_OUTPUT"
elif [ -e "${flags[0]}" ]; then
	{
		echo "file=$out/merged.info"
		echo "flag="
		echo "name=merged"
	} >>"$GITHUB_OUTPUT"
fi
finish "$status"

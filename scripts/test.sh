#!/usr/bin/env bash
# test.sh [GO TEST FLAGS]: every test of the project. A package that passes is one line, a package that
# fails is shown whole; skips keep their reason; the slow tests are named at the end.
set -uo pipefail
cd "$(dirname "$0")/.."

mkdir -p build
log=build/test.log
# One package at a time: two packages that boot kernels at once starve each other on two cores.
go test -v -p 1 "$@" ./... 2>&1 | tee "$log" | awk '
	/no test files\]$/ || /^testing: warning: no tests to run/ { next }
	/^ok[ \t]/ { print; fflush(); buf = ""; next }
	/^FAIL[ \t]/ { printf "%s%s\n", buf, $0; fflush(); buf = ""; next }
	{ buf = buf $0 "\n" }
	END { printf "%s", buf }'
status=${PIPESTATUS[0]}

echo
awk '
	/^=== (RUN|NAME|CONT)/ { current = $3 }
	/^ +[A-Za-z0-9_]+\.go:[0-9]+: / { reason[current] = $0; sub(/^ +/, "", reason[current]) }
	/^ *--- (PASS|FAIL|SKIP): / {
		sub(/:$/, "", $2)
		n[$2]++
		name = $3
		seconds = $4; gsub(/[()s]/, "", seconds)
		if (seconds >= 5 && $0 !~ /^ /) slow[name] = seconds
		if ($2 == "SKIP") { print "skipped: " name ": " reason[name] }
	}
	END {
		for (t in slow) printf "slow: %7.1f s  %s\n", slow[t], t | "sort -k2,2 -rn | head -n 12"
		close("sort -k2,2 -rn | head -n 12")
		printf "%d passed, %d failed, %d skipped\n", n["PASS"], n["FAIL"], n["SKIP"]
	}' "$log"
exit "$status"

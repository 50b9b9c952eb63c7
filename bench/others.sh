#!/usr/bin/env bash
# others.sh [N]: how long virtme-ng takes for what a cell does (boot a Debian kernel under emulation, run "true" in it),
# and how long bpfcov takes, in turns, N times each (5). Prints Markdown. Needs what "make" builds, root, QEMU and
# python3; virtme-ng and what it needs are taken from Debian 13 through the private apt root of bpfcov's kernels and unpacked
# below build/others, for Debian 12 has neither it nor the virtiofsd that it asks for.
set -euo pipefail
cd "$(dirname "$0")/.."
n=${1:-5}
work=build/others
mkdir -p "$work"
work=$(cd "$work" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bpfcov
specs=(apt:trixie/6.12 'apt:sid/7.*' apt:bookworm/6.1@generic)

field() { sed -n "s/^ *\"$2\": \"\(.*\)\",*$/\1/p" "$1" | head -1; } # JSON-FILE NAME

for i in "${!specs[@]}"; do
	bin/bpfcov kernels pull "${specs[i]}" --json >"$work/$i.json"
	tree=$work/$i.tree # virtme-ng looks for lib/modules above the image, and may write there
	if [ ! -e "$tree/boot/vmlinuz" ]; then
		mkdir -p "$tree/boot"
		cp -r "$(dirname "$(field "$work/$i.json" packed)")/lib" "$tree/"
		cp "$(field "$work/$i.json" packed)" "$tree/boot/vmlinuz"
	fi
done

# virtme-ng is Python; virtiofsd runs with Debian 13's C library.
if [ ! -e "$work/virtiofsd" ]; then
	export APT_CONFIG=$cache/kernels/apt/trixie-amd64/apt.conf
	(cd "$work" && apt-get -q download virtme-ng virtiofsd libc6 libseccomp2 libcap-ng0 libgcc-s1 >&2)
	unset APT_CONFIG
	for deb in "$work"/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
	lib=$work/root/usr/lib/x86_64-linux-gnu
	printf '#!/bin/sh\nexec "%s/ld-linux-x86-64.so.2" --library-path "%s" "%s/root/usr/libexec/virtiofsd" "$@"\n' "$lib" "$lib" "$work" >"$work/virtiofsd"
	chmod +x "$work/virtiofsd"
fi
missing=()
for module in argcomplete requests pkg_resources; do
	/usr/bin/python3 -c "import $module" 2>/dev/null || missing+=("python3-${module//_/-}")
done
[ -x /bin/busybox ] || missing+=(busybox-static)
if [ ${#missing[@]} -gt 0 ]; then
	echo "others.sh: virtme-ng needs packages: apt-get install ${missing[*]}" >&2
	exit 3
fi

# timed NAME COMMAND…: appends "wall cpu" in seconds to the file of NAME; the output of the command goes to a log.
timed() {
	local TIMEFORMAT='%R %U %S' name=$1
	shift
	if ! { time "$@" >"$work/log" 2>&1 </dev/null; } 2>"$work/time"; then
		echo "others.sh: $name failed: $*" >&2
		tail -20 "$work/log" >&2
		exit 1
	fi
	awk '{ print $1, $2 + $3 }' "$work/time" >>"$work/$name.times"
}

vng() { # KERNEL-INDEX
	PATH=$work:$PATH PYTHONPATH=$work/root/usr/lib/python3/dist-packages timeout 300 /usr/bin/python3 -m virtme.commands.run \
		--kimg "$work/$1.tree/boot/vmlinuz" --mods auto --disable-kvm --disable-microvm --memory 512M --cpus 1 \
		--script-sh 'echo kernel $(uname -r)'
	grep -q "^kernel $(field "$work/$1.json" release)" "$work/log" # it exits 0 where the guest did not come up
}
cell() { # KERNEL-INDEX FLAG
	bin/bpfcov run --kernel "${specs[$1]}" --arch amd64 "$2" --out "$work/out" -- /bin/true
}

rm -f "$work"/*.times
for i in "${!specs[@]}"; do cell "$i" --warm >/dev/null 2>&1 || true; done # saves the guests
for _ in $(seq "$n"); do
	for i in "${!specs[@]}"; do
		timed "$i.vng" vng "$i"
		timed "$i.cold" cell "$i" --cold
		timed "$i.warm" cell "$i" --warm
	done
done

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
echo "| kernel | virtme-ng, wall median s (CPU) | bpfcov run, cold | bpfcov run, warm |"
echo "|---|--:|--:|--:|"
for i in "${!specs[@]}"; do
	row="| $(field "$work/$i.json" release) |"
	for how in vng cold warm; do
		row+=" $(cut -d' ' -f1 "$work/$i.$how.times" | median) ($(cut -d' ' -f2 "$work/$i.$how.times" | median)) |"
	done
	echo "$row"
done

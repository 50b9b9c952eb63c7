#!/usr/bin/env bash
# setup.sh PROFILE: installs what is missing for PROFILE (build, demo, test or long) and says what it does.
# Idempotent; asks the network for nothing when everything is there. Debian 12 or newer.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${1:-build}
llvm=${BPFCOV_LLVM:-19}

build_packages=(git g++ "clang-$llvm" "llvm-$llvm-dev" "llvm-$llvm")
demo_packages=(qemu-system-x86 qemu-system-arm libbpf-dev linux-libc-dev)
test_packages=("llvm-$llvm-tools" python3 cmake ninja-build lcov bpftool strace gcc libelf-dev zlib1g-dev xz-utils qemu-system-misc qemu-system-ppc)
# The other compilers that the pass and the decoder are tested with.
for major in 14 15 16 22; do
	test_packages+=("clang-$major" "llvm-$major" "llvm-$major-dev" "llvm-$major-tools")
done
test_packages+=(csmith libcsmith-dev libxml2-utils)

# The HTML report is tested in a browser. Where there is a Node from elsewhere, Debian's would remove it.
test_packages+=(chromium)
command -v npm >/dev/null || test_packages+=(nodejs npm)
# Disks of guests.
test_packages+=(squashfs-tools)
# The builds of examples/builds.
test_packages+=(make ccache)

# What make test-long needs beyond that.
long_packages=(slurm-wlm)

case $profile in
build) packages=("${build_packages[@]}") ;;
demo) packages=("${build_packages[@]}" "${demo_packages[@]}") ;;
test) packages=("${build_packages[@]}" "${demo_packages[@]}" "${test_packages[@]}") ;;
long) packages=("${build_packages[@]}" "${demo_packages[@]}" "${test_packages[@]}" "${long_packages[@]}") ;;
*)
	echo "setup: unknown profile \"$profile\"; want build, demo, test or long" >&2
	exit 2
	;;
esac

say() { echo "setup: $*" >&2; }
fail() {
	say "$*"
	exit 3
}

as_root=()
if [ "$(id -u)" != 0 ]; then
	as_root=(sudo)
fi

install_packages() {
	local missing=() p
	for p in "${packages[@]}"; do
		# A package that is only configured away has no "install ok installed".
		if [ "$(dpkg-query -W -f '${Status}' "$p" 2>/dev/null)" != "install ok installed" ]; then
			missing+=("$p")
		fi
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ ${#as_root[@]} -gt 0 ] && ! command -v sudo >/dev/null; then
		fail "these packages are missing and there is neither root nor sudo to install them: ${missing[*]}"
	fi
	say "installing ${missing[*]}"
	local log
	log=$(mktemp)
	if ! "${as_root[@]}" apt-get update -q >"$log" 2>&1 ||
		! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
		tail -n 15 "$log" >&2
		fail "apt-get could not install: ${missing[*]} (its last lines are above; whole log: $log)"
	fi
	rm -f "$log"
}

# go_is_new_enough GO: whether GO is at least the version that go.mod asks for.
go_is_new_enough() {
	local have want
	want=$(awk '$1 == "go" { print $2; exit }' go.mod)
	have=$("$1" env GOVERSION 2>/dev/null) || return 1
	have=${have#go}
	[ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ]
}

# Debian 12's own Go is too old to fetch a newer toolchain. The newest Go of its backports can, through
# the Go module proxy; it is unpacked into build/tools and leaves the system as it was.
bootstrap_go() {
	local root=build/tools/apt source uri keyring
	# The mirror that apt already uses for the release is the one that has its backports.
	source=$(grep -lE '^(Suites:.*bookworm|deb .* bookworm )' /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1) || true
	[ -n "$source" ] || return 1
	uri=$(awk '/^URIs:/ { print $2; exit } /^deb / { for (i = 2; i <= NF; i++) if ($i ~ /^[a-z+]+:\/\//) { print $i; exit } }' "$source")
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -n "$uri" ] && [ -r "$keyring" ] || return 1
	mkdir -p $root/state/lists/partial $root/cache/archives/partial $root/etc
	touch $root/status
	echo "deb [signed-by=$keyring] $uri bookworm-backports main" >$root/etc/sources.list
	local opts=(-q -o "Dir::State=$PWD/$root/state" -o "Dir::State::status=$PWD/$root/status" -o "Dir::Cache=$PWD/$root/cache"
		-o "Dir::Etc::sourcelist=$PWD/$root/etc/sources.list" -o "Dir::Etc::sourceparts=-" -o APT::Sandbox::User=root)
	apt-get "${opts[@]}" update >/dev/null 2>&1 || return 1
	local version
	version=$(apt-cache "${opts[@]}" search --names-only '^golang-1\.[0-9]+-go$' | awk '{ print $1 }' | sort -V | tail -n 1)
	version=${version#golang-}
	version=${version%-go}
	[ -n "$version" ] || return 1
	say "installing Go $version from bookworm-backports into build/tools"
	(cd $root && apt-get "${opts[@]}" download "golang-$version-go" "golang-$version-src" >/dev/null 2>&1) || return 1
	# The underscore keeps the tree's own test programs out of ./...
	rm -rf build/tools/_go
	for deb in $root/golang-*.deb; do dpkg-deb -x "$deb" build/tools/_go; done
	rm -f $root/golang-*.deb
	mkdir -p build/tools/bin
	cat >build/tools/bin/go <<-EOF
		#!/bin/sh
		# GOTOOLCHAIN=auto fetches the version that go.mod names through the Go module proxy.
		unset GOROOT
		GOTOOLCHAIN=auto exec "$PWD/build/tools/_go/usr/lib/go-$version/bin/go" "\$@"
	EOF
	chmod +x build/tools/bin/go
	go_is_new_enough build/tools/bin/go
}

install_go() {
	if go_is_new_enough go || go_is_new_enough build/tools/bin/go; then
		return 0
	fi
	local want
	want=$(awk '$1 == "go" { print $2; exit }' go.mod)
	bootstrap_go || fail "Go $want or newer is missing and could not be fetched; install it from https://go.dev/dl and put it on PATH"
}

# The driver of the browser tests and the accessibility checker, as their lock file has them; no browser is fetched.
install_web() {
	local from=report/html/webtest to=build/webtest
	if cmp -s $from/package-lock.json $to/installed.json; then
		return 0
	fi
	command -v npm >/dev/null || fail "npm is missing; install Node 18 or newer"
	say "installing the browser tests' packages into $to"
	mkdir -p $to
	cp $from/package.json $from/package-lock.json $to/
	local log
	log=$(mktemp)
	if ! (cd $to && npm ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1); then
		tail -n 15 "$log" >&2
		fail "npm could not install what $from/package-lock.json names (its last lines are above; whole log: $log)"
	fi
	rm -f "$log"
	cp $from/package-lock.json $to/installed.json
}

command -v apt-get >/dev/null || {
	say "no apt-get here: install by hand what Debian calls: ${packages[*]}"
	install_go
	[[ $profile != test && $profile != long ]] || install_web
	exit 0
}
install_packages
install_go
[[ $profile != test && $profile != long ]] || install_web
say "everything that $profile needs is installed"

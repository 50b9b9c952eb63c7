#!/usr/bin/env bash
# install.sh: what action.yml does on a fresh runner: packages, bpfcov from this checkout, and KVM for everybody.
set -euo pipefail
cd "$(dirname "$0")/../.."
BPFCOV_LLVM=${BPFCOV_LLVM:-19}
[[ $BPFCOV_LLVM =~ ^[0-9]+$ ]] || { echo "llvm: \"$BPFCOV_LLVM\" is no major version" >&2; exit 2; }
export BPFCOV_LLVM BPFCOV_CLANG="clang-$BPFCOV_LLVM"
./scripts/setup.sh demo
make all LLVM="$BPFCOV_LLVM"
if [ -n "${GITHUB_PATH:-}" ]; then
	echo "$PWD/bin" >>"$GITHUB_PATH"
fi
# Hosted runners have KVM but give it to a group that the runner is not in.
if [ -e /dev/kvm ] && [ ! -w /dev/kvm ]; then
	sudo chmod 0666 /dev/kvm || true
fi

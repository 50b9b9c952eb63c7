#!/bin/sh -e
# With counters: CLANG=bpfcov-clang go generate && go build
"${CLANG:-clang}" -g -O2 -Wall -target bpf -I"/usr/include/$(uname -m)-linux-gnu" -c embed.bpf.c -o embed.bpf.o
"${STRIP:-llvm-strip}" -g embed.bpf.o

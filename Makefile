# make         builds bin/bpfcov, bin/bpfcov-clang, the agents and the pass plugin
# make demo    installs what is missing and runs the main job on examples/filewatch
# make test    installs what is missing and passes all tests
# make test-long  the same, and what takes longer (Slurm)
# make bench   runs the benchmarks of bench/ (see bench/README.md)
SHELL := /bin/bash
.DELETE_ON_ERROR:

# scripts/setup.sh puts a Go here when the system's is missing or too old.
export PATH := $(CURDIR)/build/tools/bin:$(PATH)

LLVM ?= 19
AGENT_ARCHES := amd64 arm64 ppc64le riscv64 s390x
AGENTS := $(AGENT_ARCHES:%=bin/bpfcov-agent-%) $(AGENT_ARCHES:%=bin/bpfcov-verify-%)
GO_TEST_FLAGS ?= -count=1 -timeout 40m

.PHONY: all
all: bin/bpfcov bin/bpfcov-clang $(AGENTS) plugin

# The go command knows best what is out of date, so these always run.
.PHONY: FORCE
FORCE:

bin/bpfcov bin/bpfcov-clang: bin/%: FORCE
	go build -trimpath -o $@ ./cmd/$*

bin/bpfcov-agent-%: FORCE
	CGO_ENABLED=0 GOOS=linux GOARCH=$* go build -trimpath -buildvcs=false -ldflags='-s -w' -o $@ ./cmd/bpfcov-agent

bin/bpfcov-verify-%: FORCE
	CGO_ENABLED=0 GOOS=linux GOARCH=$* go build -trimpath -ldflags='-s -w' -o $@ ./cmd/bpfcov-verify

.PHONY: plugin
plugin: bin/bpfcov
	bin/bpfcov doctor --build-plugin

.PHONY: setup-build setup-demo setup-test setup-long
setup-build setup-demo setup-test setup-long: setup-%:
	./scripts/setup.sh $*

.PHONY: demo
demo: export BPFCOV_CLANG ?= clang-$(LLVM)
demo: setup-demo
	@$(MAKE) --no-print-directory all
	bin/bpfcov run -c examples/filewatch/bpfcov.yaml --out build/demo

.PHONY: test
test: setup-test
	@$(MAKE) --no-print-directory all lint
	./scripts/test.sh $(GO_TEST_FLAGS)

.PHONY: test-long
test-long: export BPFCOV_LONG = 1
test-long: setup-long
	@$(MAKE) --no-print-directory all lint
	./scripts/test.sh $(GO_TEST_FLAGS) -timeout 120m

.PHONY: lint
lint:
	@gofmt=$$(go env GOROOT)/bin/gofmt; out=$$(git ls-files '*.go' | xargs "$$gofmt" -l) || exit 1; \
	[ -z "$$out" ] || { echo "gofmt: not formatted:"; echo "$$out"; exit 1; } >&2
	go vet ./...

.PHONY: bench
bench: setup-test all
	./bench/run.sh

.PHONY: clean
clean:
	rm -rf bin build

module github.com/bpfcov/bpfcov/bench/coverbee

go 1.26.0

require (
	github.com/cilium/coverbee v0.3.2
	github.com/cilium/ebpf v0.10.0
)

require (
	github.com/alecthomas/participle/v2 v2.0.0-beta.4 // indirect
	github.com/davecgh/go-spew v1.1.1 // indirect
	golang.org/x/exp v0.0.0-20220602145555-4a0574d9293f // indirect
	golang.org/x/sys v0.2.0 // indirect
	golang.org/x/tools v0.1.10 // indirect
)

package verify

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// guessType gives a program what its section does not say. Like veristat it takes the type of the context for a program of an unknown
// section and for freplace, whose target only a loader has. guess says what was assumed; skip is why the program
// cannot be tried at all.
func guessType(p *ebpf.ProgramSpec) (guess, skip string) {
	switch p.Type {
	case ebpf.UnspecifiedProgram, ebpf.Extension:
		what := fmt.Sprintf("section %q says no program type", p.SectionName)
		if p.Type == ebpf.Extension {
			what = "freplace needs the program that it replaces a function of"
		}
		ctx := contextType(p)
		t, a, ok := typeOfContext(ctx)
		if !ok {
			if ctx == "" {
				return "", what + ", and its first argument is no context"
			}
			return "", fmt.Sprintf("%s, and its first argument (%s) stands for no one type", what, ctx)
		}
		p.Type, p.AttachType, p.AttachTo = t, a, ""
		return fmt.Sprintf("%s: taken for %s by its context, %s", what, ProgTypeName(t), ctx), ""
	case ebpf.Tracing, ebpf.LSM:
		if p.AttachTo == "" && p.AttachTarget == nil {
			return "", fmt.Sprintf("section %q names no attach target: its loader sets it", p.SectionName)
		}
	case ebpf.StructOps:
		if !strings.Contains(p.AttachTo, ":") {
			return "", "it is a member of no struct_ops map: its loader sets it"
		}
	}
	return "", ""
}

// contextType is the name of what the first argument of a program points to.
func contextType(p *ebpf.ProgramSpec) string {
	if len(p.Instructions) == 0 {
		return ""
	}
	fn := btf.FuncMetadata(&p.Instructions[0])
	if fn == nil {
		return ""
	}
	proto, ok := fn.Type.(*btf.FuncProto)
	if !ok || len(proto.Params) == 0 {
		return ""
	}
	ptr, ok := btf.As[*btf.Pointer](proto.Params[0].Type)
	if !ok {
		return ""
	}
	t := ptr.Target
	for range 16 { // qualifiers; a typedef's own name counts (bpf_user_pt_regs_t)
		switch q := t.(type) {
		case *btf.Const:
			t = q.Type
		case *btf.Volatile:
			t = q.Type
		default:
			return t.TypeName()
		}
	}
	return ""
}

// typeOfContext follows veristat's table.
func typeOfContext(name string) (t ebpf.ProgramType, a ebpf.AttachType, ok bool) {
	switch name {
	case "__sk_buff", "sk_buff":
		return ebpf.SchedCLS, 0, true
	case "bpf_sock", "sock":
		return ebpf.CGroupSock, ebpf.AttachCGroupInet4PostBind, true
	case "bpf_sock_addr", "bpf_sock_addr_kern":
		return ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Bind, true
	case "bpf_sock_ops", "bpf_sock_ops_kern":
		return ebpf.SockOps, ebpf.AttachCGroupSockOps, true
	case "sk_msg_md", "sk_msg":
		return ebpf.SkMsg, ebpf.AttachSkMsgVerdict, true
	case "bpf_cgroup_dev_ctx":
		return ebpf.CGroupDevice, ebpf.AttachCGroupDevice, true
	case "bpf_sysctl", "bpf_sysctl_kern":
		return ebpf.CGroupSysctl, ebpf.AttachCGroupSysctl, true
	case "bpf_sockopt", "bpf_sockopt_kern":
		return ebpf.CGroupSockopt, ebpf.AttachCGroupSetsockopt, true
	case "sk_reuseport_md", "sk_reuseport_kern":
		return ebpf.SkReuseport, ebpf.AttachSkReuseportSelectOrMigrate, true
	case "bpf_sk_lookup", "bpf_sk_lookup_kern":
		return ebpf.SkLookup, ebpf.AttachSkLookup, true
	case "xdp_md", "xdp_buff":
		return ebpf.XDP, ebpf.AttachXDP, true
	case "bpf_user_pt_regs_t", "pt_regs":
		return ebpf.Kprobe, 0, true
	case "bpf_perf_event_data", "bpf_perf_event_data_kern":
		return ebpf.PerfEvent, 0, true
	case "bpf_raw_tracepoint_args":
		return ebpf.RawTracepoint, 0, true
	}
	return 0, 0, false
}

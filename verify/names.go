package verify

import (
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
)

// progTypes are libbpf's names (libbpf_bpf_prog_type_str), which veristat prints, by number (enum bpf_prog_type).
func progTypes() []string {
	return strings.Fields(`unspec socket_filter kprobe sched_cls sched_act tracepoint xdp perf_event cgroup_skb cgroup_sock lwt_in
		lwt_out lwt_xmit sock_ops sk_skb cgroup_device sk_msg raw_tracepoint cgroup_sock_addr lwt_seg6local lirc_mode2
		sk_reuseport flow_dissector cgroup_sysctl raw_tracepoint_writable cgroup_sockopt tracing struct_ops ext lsm sk_lookup
		syscall netfilter`)
}

// attachTypes are libbpf's names (libbpf_bpf_attach_type_str), by number (enum bpf_attach_type).
func attachTypes() []string {
	return strings.Fields(`cgroup_inet_ingress cgroup_inet_egress cgroup_inet_sock_create cgroup_sock_ops sk_skb_stream_parser
		sk_skb_stream_verdict cgroup_device sk_msg_verdict cgroup_inet4_bind cgroup_inet6_bind cgroup_inet4_connect
		cgroup_inet6_connect cgroup_inet4_post_bind cgroup_inet6_post_bind cgroup_udp4_sendmsg cgroup_udp6_sendmsg lirc_mode2
		flow_dissector cgroup_sysctl cgroup_udp4_recvmsg cgroup_udp6_recvmsg cgroup_getsockopt cgroup_setsockopt trace_raw_tp
		trace_fentry trace_fexit modify_return lsm_mac trace_iter cgroup_inet4_getpeername cgroup_inet6_getpeername
		cgroup_inet4_getsockname cgroup_inet6_getsockname xdp_devmap cgroup_inet_sock_release xdp_cpumap sk_lookup xdp
		sk_skb_verdict sk_reuseport_select sk_reuseport_select_or_migrate perf_event trace_kprobe_multi lsm_cgroup struct_ops
		netfilter tcx_ingress tcx_egress trace_uprobe_multi cgroup_unix_connect cgroup_unix_sendmsg cgroup_unix_recvmsg
		cgroup_unix_getpeername cgroup_unix_getsockname netkit_primary netkit_peer trace_kprobe_session trace_uprobe_session
		trace_fsession`)
}

func nameOf(list []string, n uint32) string {
	if uint64(n) < uint64(len(list)) {
		return list[n]
	}
	return strconv.FormatUint(uint64(n), 10)
}

// ProgTypeName is libbpf's name of a program type, or its number where libbpf has none yet.
func ProgTypeName(t ebpf.ProgramType) string { return nameOf(progTypes(), uint32(t)) }

// AttachTypeName is libbpf's name of an attach type. 0 is cgroup_inet_ingress in programs for control groups only; it is empty for all others,
// which do not set it.
func AttachTypeName(t ebpf.ProgramType, a ebpf.AttachType) string {
	if a == ebpf.AttachNone && t != ebpf.CGroupSKB {
		return ""
	}
	return nameOf(attachTypes(), uint32(a))
}

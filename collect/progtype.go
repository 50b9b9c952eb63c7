package collect

import (
	"fmt"
	"strings"
)

// programTypes are the names of enum bpf_prog_type in order, written as Go libraries write them.
const programTypes = "UnspecifiedProgram SocketFilter Kprobe SchedCLS SchedACT TracePoint XDP PerfEvent CGroupSKB " +
	"CGroupSock LWTIn LWTOut LWTXmit SockOps SkSKB CGroupDevice SkMsg RawTracepoint CGroupSockAddr LWTSeg6Local " +
	"LircMode2 SkReuseport FlowDissector CGroupSysctl RawTracepointWritable CGroupSockopt Tracing StructOps " +
	"Extension LSM SkLookup Syscall Netfilter"

func programType(t uint32) string {
	names := strings.Fields(programTypes)
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("ProgramType(%d)", t)
}

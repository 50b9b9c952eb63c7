package kernels

import (
	"strings"
)

// readConfig reads the features of a kernel's .config.
func readConfig(b []byte) Features {
	opt := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.HasPrefix(k, "CONFIG_") {
			opt[strings.TrimPrefix(k, "CONFIG_")] = v
		}
	}
	on := func(k string) bool { return opt[k] == "y" || opt[k] == "m" }
	f := Features{
		Known:        len(opt) > 0,
		BPF:          on("BPF_SYSCALL"),
		BTF:          on("DEBUG_INFO_BTF"),
		ModuleBTF:    on("DEBUG_INFO_BTF_MODULES"),
		JIT:          on("BPF_JIT"),
		JITDefaultOn: on("BPF_JIT_DEFAULT_ON") || on("BPF_JIT_ALWAYS_ON"),
		Kprobes:      on("KPROBES"),
		KprobeMulti:  on("FPROBE"),
		LSM:          on("BPF_LSM"),
		SchedExt:     on("SCHED_CLASS_EXT"),
		PVH:          on("PVH"),
	}
	f.Fentry = f.JIT && on("DYNAMIC_FTRACE_WITH_DIRECT_CALLS")
	if l := strings.Trim(opt["LSM"], `"`); l != "" {
		f.LSMs = strings.Split(l, ",")
	}
	return f
}

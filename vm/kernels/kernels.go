package kernels

import (
	"context"
	"time"
)

// A Kernel is one kernel on disk, ready to boot.
//
// Paths are absolute. A Kernel stays valid until [Store.Prune] removes it.
type Kernel struct {
	Spec    string `json:"spec"`    // the spec that asked for it, canonical; in a listing the most recent one
	Release string `json:"release"` // uname -r, for example "6.12.107+deb13-cloud-amd64"
	Version string `json:"version"` // major and minor, "6.12"
	Arch    string `json:"arch"`    // GOARCH
	Flavour string `json:"flavour"` // "cloud", "generic", "rt", …; "" when unknown (file:)
	Package string `json:"package"` // name and version of the package, "linux-image-6.12.107+deb13-cloud-amd64=6.12.107-1"; "" for file:

	// Image is the file for QEMU's -kernel. amd64: an uncompressed ELF vmlinux with a PVH entry where the kernel has
	// one (CONFIG_PVH), else the bzImage. arm64 and riscv64: the uncompressed Image. Other architectures: as packaged.
	Image string `json:"image"`
	// Packed is the image as it was packaged when Image was unpacked from it, else "".
	Packed string `json:"packed,omitempty"`
	// Modules is the folder with the modules of this release (…/lib/modules/RELEASE), "" if there is none.
	Modules string `json:"modules,omitempty"`
	// Config is the kernel's .config file, "" if there is none.
	Config   string   `json:"config,omitempty"`
	Features Features `json:"features"`

	Dir  string    `json:"dir,omitempty"` // its folder in the store
	Size int64     `json:"size"`          // bytes on disk in the store
	Used time.Time `json:"used"`          // when it was last pulled, from cache or not
}

// Features are the properties of a kernel's configuration that matter to BPF tests, as read from [Kernel.Config].
// They are all zero when there is no config file; Known tells the two apart. What a running kernel can do is better
// asked from that kernel: these serve listings and skip reasons.
type Features struct {
	Known        bool     `json:"known"`
	BPF          bool     `json:"bpf"`           // CONFIG_BPF_SYSCALL
	BTF          bool     `json:"btf"`           // CONFIG_DEBUG_INFO_BTF
	ModuleBTF    bool     `json:"module_btf"`    // CONFIG_DEBUG_INFO_BTF_MODULES
	JIT          bool     `json:"jit"`           // CONFIG_BPF_JIT
	JITDefaultOn bool     `json:"jit_default"`   // CONFIG_BPF_JIT_DEFAULT_ON or BPF_JIT_ALWAYS_ON; else net.core.bpf_jit_enable=1 is needed
	Fentry       bool     `json:"fentry"`        // CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS, and a JIT to make trampolines
	Kprobes      bool     `json:"kprobes"`       // CONFIG_KPROBES
	KprobeMulti  bool     `json:"kprobe_multi"`  // CONFIG_FPROBE
	LSM          bool     `json:"bpf_lsm"`       // CONFIG_BPF_LSM
	LSMs         []string `json:"lsms"`          // CONFIG_LSM in its order; LSM programs fire only when "bpf" is in it or on the command line
	SchedExt     bool     `json:"sched_ext"`     // CONFIG_SCHED_CLASS_EXT
	PVH          bool     `json:"pvh,omitempty"` // CONFIG_PVH (x86)
}

// A Candidate is one kernel that a spec matches, in the store or not.
type Candidate struct {
	Spec     string `json:"spec"`               // a spec that matches exactly this one
	Release  string `json:"release"`            // uname -r
	Version  string `json:"version"`            // "6.12"
	Arch     string `json:"arch"`               // GOARCH
	Flavour  string `json:"flavour"`            // "cloud", "generic", "rt", …
	Suite    string `json:"suite,omitempty"`    // the suite that has it, "trixie-security"
	Package  string `json:"package,omitempty"`  // name=version
	Download int64  `json:"download,omitempty"` // bytes to fetch, all packages together
	Stored   bool   `json:"stored"`             // true when it is in the store already

	pkg  *debPackage
	deps []*debPackage
}

// A Store is a cache folder of kernels. The zero Store is usable: it is the user's default one, and silent. Several
// processes may use one store at a time.
type Store struct {
	// Dir is the folder; "" is [DefaultDir].
	Dir string
	// Refresh asks the archives again instead of answering from the cache.
	Refresh bool
	// Log, when set, gets one line for each slow step (fetching an index, a package, unpacking).
	Log func(format string, args ...any)
}

// Resolve returns what spec matches on architecture arch, best first: newest version, then the preferred flavour.
// arch is a GOARCH, dpkg or uname -m name; "" is the host's. The answer comes from the cached package index when
// there is one with a match, unless s.Refresh is set. When nothing matches, the error is a [*NoMatchError] that
// lists what there is.
func (s *Store) Resolve(ctx context.Context, spec, arch string) ([]Candidate, error) {
	sp, a, err := parse(spec, arch)
	if err != nil {
		return nil, err
	}
	switch sp.kind {
	case kindApt:
		return s.resolveApt(ctx, sp, a)
	case kindBucket:
		return s.resolveBucket(sp, a)
	}
	k, err := s.pull(ctx, sp, a)
	if err != nil {
		return nil, err
	}
	return []Candidate{{Spec: sp.String(), Release: k.Release, Version: k.Version, Arch: k.Arch, Package: k.Package, Stored: true}}, nil
}

// Expand returns the specs that spec stands for on arch: itself, or one for each kernel where it means several: an
// apt: spec with the version each-minor and a bucket: spec. The order is that of [Store.Resolve].
func (s *Store) Expand(ctx context.Context, text, arch string) ([]string, error) {
	sp, _, err := parse(text, arch)
	if err != nil {
		return nil, err
	}
	if sp.kind != kindBucket && (sp.kind != kindApt || sp.version != keyEachMinor) {
		return []string{text}, nil
	}
	found, err := s.Resolve(ctx, text, arch)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(found))
	for i, c := range found {
		out[i] = c.Spec
	}
	return out, nil
}

// Pull returns the best match of spec on arch (as for Resolve), fetching it when it is not in the store yet. A spec
// that was pulled before gives the same kernel again, without any network, until s.Refresh is set.
//
// A missing apt gives a [*ToolError], an unreachable archive a [*FetchError], and no match a [*NoMatchError].
func (s *Store) Pull(ctx context.Context, spec, arch string) (*Kernel, error) {
	sp, a, err := parse(spec, arch)
	if err != nil {
		return nil, err
	}
	return s.pull(ctx, sp, a)
}

func (s *Store) pull(ctx context.Context, sp spec, a archInfo) (*Kernel, error) {
	switch sp.kind {
	case kindFile:
		return s.openFile(sp, a)
	case kindTar:
		return s.pullTar(ctx, sp, a, sp.path)
	case kindBucket:
		return s.pullBucket(ctx, sp, a)
	case kindOCI:
		return s.pullOCI(ctx, sp, a)
	case kindBuild:
		return s.openTree(sp, a)
	case kindHost:
		return s.openHost(sp, a)
	}
	return s.pullApt(ctx, sp, a)
}

func (s *Store) logf(format string, args ...any) {
	if s.Log != nil {
		s.Log(format, args...)
	}
}

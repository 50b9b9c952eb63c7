//go:build linux && (amd64 || arm64 || ppc64le || riscv64 || s390x)

package collect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/bpfcov/bpfcov/collect/internal/bpfsys"
	"github.com/bpfcov/bpfcov/collect/internal/notify"
	"github.com/bpfcov/bpfcov/collect/liveness"
)

// Bounds on what is copied from a loader, which may hand anything to the kernel.
const (
	maxLoadInfo    = 64 << 20
	maxLoadFDs     = 256
	maxLoadLicense = 128
)

// load is one program that was loaded, maybe many times, with at least one counter map unless all are wanted.
type load struct {
	name  string
	typ   uint32
	insns int
	loads int
	maps  []*counterMap // of the first load, in the order in which the instructions refer to them
	given []byte        // the instructions as the loader gave them, until they are analyzed
	refs  map[int]int   // index of a reference in the instructions -> index into maps
	proc  *process
	tid   int

	throws bool             // calls of functions may not come back, set with before
	before *liveness.Result // what the instructions as given may write to, nil until known

	// repeat is the load as this process can repeat it, with copies of descriptors in fds; nil when
	// it cannot, for the reason in noRepeat.
	repeat   *bpfsys.Load
	noRepeat string
	fds      []int

	// busy is set until it is known what came of the load.
	busy bool
	// returned is set once the thread was seen after the load.
	returned bool
	// actual is the loader's own program, if it was found while it existed.
	actual *bpfsys.ProgInfo

	// unseen is set for a program whose load was not seen; maps and actual are then all that is
	// known, and rest is the state of the counters that it does not update.
	unseen bool
	rest   CounterState

	verdict verdict // set with decide
	// toldFlows is what flows returned for before, verdict and maps, nil when one of them has changed since.
	toldFlows []loadFlow
}

// progLoad handles a call that loads a program. The caller waits, so that only what is gone
// afterwards is copied here.
func (w *watcher) progLoad(c *notify.Call) {
	attrBytes := w.attr[:min(int(c.Size), bpfsys.LoadAttrSize)]
	if c.TID == 0 || len(attrBytes) < 48 || bpfsys.ReadMemory(c.TID, c.Attr, attrBytes) != nil {
		w.l.Continue(c.ID) // nothing that the kernel would load, or a process out of sight
		return
	}
	attr := bpfsys.ParseLoadAttr(attrBytes)
	if attr.Type == bpfsys.TypeSyscall {
		w.loaderProgram() // it may load programs from inside the kernel
	}
	if attr.InsnCnt == 0 || attr.InsnCnt > insnLimit {
		w.l.Continue(c.ID)
		w.loaded()
		return
	}
	insns := slices.Grow(w.insns[:0], 8*int(attr.InsnCnt))[:8*attr.InsnCnt]
	w.insns = insns
	license := w.license[:licenseStep-attr.License%licenseStep]
	both, err := bpfsys.ReadTwo(c.TID, attr.Insns, insns, attr.License, license)
	if err != nil {
		w.l.Continue(c.ID)
		w.loaded()
		return
	}
	if n := bytes.IndexByte(license, 0); both && n >= 0 {
		license = license[:n+1]
	} else {
		license = nil
	}
	w.refs = liveness.AppendRefs(w.refs[:0], insns, w.order)
	var shape uint64
	if license != nil && attr.Type != bpfsys.TypeSyscall {
		var done, full bool
		if shape, done, full = w.recognised(c, attr, insns, license); full {
			w.flush()
		}
		if done {
			return
		}
	}
	cp, known := w.capture(c, attr, bytes.Clone(insns), bytes.Clone(license), slices.Clone(w.refs))
	valid := w.l.Continue(c.ID)
	w.loaded()
	switch {
	case cp == nil:
	case !valid:
		cp.close()
	case known:
		cp.close()
		w.known(cp.key, true)
	default:
		w.learn(cp, shape)
		w.register(cp)
	}
}

// loaded counts a load.
func (w *watcher) loaded() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total++
}

// known reports whether a program was loaded before and what came of that is known, or soon will be. With count
// it counts one more load of it then.
func (w *watcher) known(key uint64, count bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.loads[key]
	if l == nil || !l.busy && l.verdict.Verdict == VerdictUnknown {
		return false
	}
	if count {
		l.loads++
	}
	return true
}

// captured is what was copied from a loader for one load.
type captured struct {
	attr  *bpfsys.LoadAttr
	proc  *process
	tid   int
	insns []byte
	refs  []liveness.Ref
	fdOf  map[int32]int32       // index into the descriptor array -> descriptor
	own   map[int32]int         // descriptor of the loader -> copy
	kinds map[int32]uint64      // descriptor of a map of the loader -> what it is to the verifier; 0 with counters
	maps  map[int32]*counterMap // descriptor of the loader -> counter map
	license, funcInfo, lineInfo,
	coreRelos []byte
	missing string // what could not be copied
	key     uint64
}

func (cp *captured) close() {
	for _, fd := range cp.own {
		bpfsys.Close(fd)
	}
	cp.own = nil
}

func (cp *captured) miss(format string, args ...any) {
	if cp.missing == "" {
		cp.missing = fmt.Sprintf(format, args...)
	}
}

// capture returns nil when the program refers to no counter map and the others are not wanted. known is set, and only what tells the
// program from others was copied, when it was loaded before and what came of that is known, or soon will be.
func (w *watcher) capture(c *notify.Call, attr *bpfsys.LoadAttr, insns, license []byte, refs []liveness.Ref) (cp *captured, known bool) {
	cp = &captured{attr: attr, tid: c.TID, insns: insns, refs: refs, license: license,
		own: map[int32]int{}, kinds: map[int32]uint64{}, maps: map[int32]*counterMap{}, fdOf: map[int32]int32{}}
	// Counters are reached by value: most programs without them are let go here.
	values := cp.copyMaps(w, func(r liveness.Ref) bool {
		return r.Pseudo == liveness.PseudoMapValue || r.Pseudo == liveness.PseudoMapIdxValue
	})
	if !w.o.Plain && (!values || len(cp.maps) == 0) {
		cp.close()
		return nil, false
	}
	if cp.proc == nil {
		var err error
		if cp.proc, err = w.procs.find(cp.tid); err != nil {
			cp.close()
			return nil, false
		}
	}
	cp.copyMaps(w, func(liveness.Ref) bool { return true })
	if cp.license == nil {
		cp.license = cp.readString(attr.License)
	}
	if attr.AttachFD != 0 {
		cp.copyFD(int32(attr.AttachFD))
	}
	cp.key = cp.hash(w.table.seed, w.order)
	if known = w.known(cp.key, false); !known {
		cp.copyRest(w)
	}
	return cp, known
}

// copyMaps copies the descriptors of the maps behind the references that want accepts.
func (cp *captured) copyMaps(w *watcher, want func(liveness.Ref) bool) (any bool) {
	for _, r := range cp.refs {
		if !want(r) {
			continue
		}
		fd, ok := cp.descriptor(r, w.order)
		if !ok {
			continue
		}
		any = true
		if _, ok := cp.kinds[fd]; ok || len(cp.kinds) > maxLoadFDs {
			continue
		}
		if cp.proc == nil {
			var err error
			if cp.proc, err = w.procs.find(cp.tid); err != nil {
				return false
			}
		}
		own, info, err := cp.proc.mapDescriptor(cp.tid, fd)
		if err != nil {
			cp.miss("map descriptor %d: %v", fd, err)
			continue
		}
		m, kind, taken := w.table.adopt(own, info, cp.proc)
		if cp.kinds[fd] = kind; m != nil {
			cp.maps[fd] = m
		}
		if !taken {
			cp.own[fd] = own
		}
	}
	return any
}

// descriptor returns the loader's descriptor of the map behind a reference.
func (cp *captured) descriptor(r liveness.Ref, order binary.ByteOrder) (int32, bool) {
	if r.Pseudo == liveness.PseudoMapFD || r.Pseudo == liveness.PseudoMapValue {
		return r.Imm, true
	}
	return cp.listed(r.Imm, order)
}

// listed returns element i of the loader's array of descriptors (Linux 5.14).
func (cp *captured) listed(i int32, order binary.ByteOrder) (int32, bool) {
	if fd, ok := cp.fdOf[i]; ok {
		return fd, true
	}
	if i < 0 || i > 1<<16 || cp.attr.FDArray == 0 {
		return 0, false
	}
	var b [4]byte
	if bpfsys.ReadMemory(cp.tid, cp.attr.FDArray+4*uint64(i), b[:]) != nil {
		return 0, false
	}
	cp.fdOf[i] = int32(order.Uint32(b[:]))
	return cp.fdOf[i], true
}

// copyRest copies what is needed to load the program once more.
func (cp *captured) copyRest(w *watcher) {
	a, order := cp.attr, w.order
	cp.copyHeld(w)
	cp.funcInfo = cp.readArray("function info", a.FuncInfo, a.NrFuncInfo, a.FuncInfoRec)
	cp.lineInfo = cp.readArray("line info", a.LineInfo, a.NrLineInfo, a.LineInfoRec)
	cp.coreRelos = cp.readArray("CO-RE relocations", a.CoreRelos, a.NrCoreRel, a.CoreReloRec)
	if a.Ifindex != 0 {
		cp.miss("it is for a network device")
	}
	if a.BTFFD != 0 {
		cp.copyFD(int32(a.BTFFD))
	}
	// Kernel functions and variables of modules come with descriptors of the modules' BTF.
	for n := 0; n+8 <= len(cp.insns); n += 8 {
		switch code, src := cp.insns[n], regSrc(cp.insns[n+1], order); {
		case code == 0x85 && src == 2: // BPF_PSEUDO_KFUNC_CALL
			if i := int32(int16(order.Uint16(cp.insns[n+2:]))); i > 0 {
				if fd, ok := cp.listed(i, order); ok {
					cp.copyFD(fd)
				}
			}
		case code == 0x18:
			if src == 3 && n+16 <= len(cp.insns) { // BPF_PSEUDO_BTF_ID
				if fd := int32(order.Uint32(cp.insns[n+12:])); fd > 0 {
					cp.copyFD(fd)
				}
			}
			n += 8
		}
	}
}

// copyHeld copies the descriptors of the maps whose own ones are held by now.
func (cp *captured) copyHeld(w *watcher) {
	for fd, m := range cp.maps {
		if _, ok := cp.own[fd]; ok {
			continue
		}
		own, err := w.table.duplicate(m)
		if err != nil {
			cp.miss("descriptor of a map with counters: %v", err)
			continue
		}
		cp.own[fd] = own
	}
}

func regSrc(b byte, order binary.ByteOrder) byte {
	if order == binary.BigEndian {
		return b & 15
	}
	return b >> 4
}

func (cp *captured) copyFD(fd int32) {
	if _, ok := cp.own[fd]; ok {
		return
	}
	own, err := cp.proc.descriptor(fd)
	if err != nil {
		cp.miss("descriptor %d: %v", fd, err)
		return
	}
	cp.own[fd] = own
}

func (cp *captured) readArray(what string, addr uint64, n, size uint32) []byte {
	total := uint64(n) * uint64(size)
	if total == 0 {
		return nil
	}
	if total > maxLoadInfo {
		cp.miss("%s of %d bytes", what, total)
		return nil
	}
	b := make([]byte, total)
	if err := bpfsys.ReadMemory(cp.tid, addr, b); err != nil {
		cp.miss("%s: %v", what, err)
		return nil
	}
	return b
}

// licenseStep is a power of two: up to the next multiple of it there is no page boundary.
const licenseStep = 32

// readString reads a short zero-terminated string, which may end just before unreadable memory.
func (cp *captured) readString(addr uint64) []byte {
	var s []byte
	for len(s) < maxLoadLicense {
		b := make([]byte, licenseStep-addr%licenseStep)
		if err := bpfsys.ReadMemory(cp.tid, addr, b); err != nil {
			cp.miss("license: %v", err)
			return nil
		}
		if n := bytes.IndexByte(b, 0); n >= 0 {
			return append(s, b[:n+1]...)
		}
		s = append(s, b...)
		addr += uint64(len(b))
	}
	return append(s, 0)
}

// hash identifies the program by its shape and by what is behind its descriptors.
func (cp *captured) hash(seed maphash.Seed, order binary.ByteOrder) uint64 {
	fds, which := ordered(cp.refs, func(r liveness.Ref) int32 {
		fd, _ := cp.descriptor(r, order)
		return fd
	})
	k := newKey(seed, shapeOf(seed, cp.attr, cp.license, bytes.Clone(cp.insns), cp.refs, which))
	for _, fd := range fds {
		k.put(cp.maps[fd], cp.kinds[fd])
	}
	if own, ok := cp.own[int32(cp.attr.AttachFD)]; ok && cp.attr.AttachFD != 0 {
		if info, err := bpfsys.PeekProg(own); err == nil { // or a module's BTF: then it is no matter which
			k.word(uint64(info.ID))
		}
	}
	return k.hash.Sum64()
}

// register keeps what was captured of a load that is the first of its kind, or whose earlier ones did not
// tell what came of them.
func (w *watcher) register(cp *captured) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.loads[cp.key]
	if l == nil {
		l = &load{name: cp.attr.Name(), typ: cp.attr.Type, insns: len(cp.insns) / 8}
		w.loads[cp.key] = l
		w.loadOrder = append(w.loadOrder, l)
	}
	l.loads++
	w.again(l, cp)
}

// again starts to find out what came of a load.
func (w *watcher) again(l *load, cp *captured) {
	l.proc, l.tid, l.returned, l.actual, l.maps, l.refs = cp.proc, cp.tid, false, nil, nil, map[int]int{}
	l.given = cp.insns
	l.decide(verdict{Verdict: VerdictUnknown})
	l.busy = true
	index := map[*counterMap]int{}
	for _, r := range cp.refs {
		fd, _ := cp.descriptor(r, w.order)
		m := cp.maps[fd]
		if m == nil {
			continue
		}
		n, ok := index[m]
		if !ok {
			n = len(l.maps)
			index[m] = n
			l.maps = append(l.maps, m)
		}
		l.refs[r.Index] = n
	}
	l.noRepeat = cp.missing
	if l.noRepeat == "" {
		l.repeat = cp.repeatable(w.order)
	}
	for _, fd := range cp.own {
		l.fds = append(l.fds, fd)
	}
	if !slices.Contains(w.pending, l) {
		w.pending = append(w.pending, l)
	}
	select {
	case w.jobs <- l:
	default:
		l.closeFDs()
		l.busy = false
		l.repeat, l.noRepeat = nil, "too many programs were loaded at once"
	}
}

func (l *load) closeFDs() {
	for _, fd := range l.fds {
		bpfsys.Close(fd)
	}
	l.fds = nil
}

// repeatable returns the load with all descriptors replaced by copies.
func (cp *captured) repeatable(order binary.ByteOrder) *bpfsys.Load {
	r := &bpfsys.Load{Attr: *cp.attr, Insns: bytes.Clone(cp.insns), License: cp.license,
		FuncInfo: cp.funcInfo, LineInfo: cp.lineInfo, CoreRelos: cp.coreRelos}
	put := func(at int, fd int32) { order.PutUint32(r.Insns[at:], uint32(cp.own[fd])) }
	for n := 0; n+16 <= len(r.Insns); n += 8 {
		if r.Insns[n] != 0x18 {
			continue
		}
		switch regSrc(r.Insns[n+1], order) {
		case liveness.PseudoMapFD, liveness.PseudoMapValue:
			put(n+4, int32(order.Uint32(r.Insns[n+4:])))
		case 3:
			if fd := int32(order.Uint32(r.Insns[n+12:])); fd > 0 {
				put(n+12, fd)
			}
		}
		n += 8
	}
	if r.Attr.BTFFD != 0 {
		r.Attr.BTFFD = uint32(cp.own[int32(r.Attr.BTFFD)])
	}
	if r.Attr.AttachFD != 0 {
		r.Attr.AttachFD = uint32(cp.own[int32(r.Attr.AttachFD)])
	}
	for i, fd := range cp.fdOf {
		for len(r.FDArray) <= int(i) {
			r.FDArray = append(r.FDArray, 0)
		}
		r.FDArray[i] = int32(cp.own[fd])
	}
	return r
}

package liveness

// step applies one instruction to st.
func (a *analysis) step(pc int, i insn, st *state) {
	switch i.class() {
	case classLD:
		if i.code == ldImm64 {
			st.setReg(i.dst, a.loadImm64(pc, i))
			return
		}
		clobber(st) // packet access (LD_ABS, LD_IND) is a call
	case classLDX:
		st.setReg(i.dst, a.load(i, st))
	case classST:
		if i.code&modeMask != modeAtomic { // that would be the kernel's own speculation barrier
			a.store(pc, st, i, value{kind: constant, off: int64(i.imm)})
		}
	case classSTX:
		if i.code&modeMask == modeAtomic {
			a.atomic(pc, st, i)
			return
		}
		a.store(pc, st, i, st.reg(i.src))
	case classALU, classALU64:
		st.setReg(i.dst, a.alu(i, st))
	case classJMP, classJMP32:
		if i.isCall() {
			clobber(st)
		}
	}
}

// clobber applies the calling convention: a call returns in r0 and leaves nothing in r1 to r5.
func clobber(st *state) {
	for r := range 6 {
		st.regs[r] = value{}
	}
}

func (a *analysis) loadImm64(pc int, i insn) value {
	if pc+1 >= len(a.insns) {
		return value{}
	}
	second := a.insns[pc+1].imm
	switch i.src {
	case 0:
		return value{kind: constant, off: int64(uint64(uint32(i.imm)) | uint64(uint32(second))<<32)}
	case PseudoMapValue, PseudoMapIdxValue:
		ref := Ref{Index: pc, Pseudo: i.src, Imm: i.imm, Off: uint32(second)}
		if key, ok := a.p.Map(ref); ok {
			return value{kind: pointer, m: key, off: int64(ref.Off)}
		}
	}
	return value{}
}

func (a *analysis) alu(i insn, st *state) value {
	dst, src := st.reg(i.dst), value{kind: constant, off: int64(i.imm)}
	if i.code&srcReg != 0 {
		src = st.reg(i.src)
	}
	op := i.code & 0xf0
	if i.class() == classALU64 {
		switch {
		case op == opMov && i.off == 0:
			return src
		case op == opAdd:
			return a.sets.add(dst, src)
		case op == opSub && src.kind == constant:
			return a.sets.shift(dst, -src.off)
		}
	} else if op == opMov && i.code&srcReg == 0 {
		return value{kind: constant, off: int64(uint32(i.imm))}
	}
	if op == opMov { // narrow or sign-extending
		return a.sets.blur(src)
	}
	return a.sets.blur(dst, src)
}

// slotOf returns the stack slot that an 8-byte access through base at off is, or -1.
func slotOf(base value, off int16, size int) int {
	at := base.off + int64(off)
	if base.kind != frame || base.off == frameUnknown || size != 8 || at%8 != 0 || at >= 0 || at < -maxStack {
		return -1
	}
	return int(-at/8) - 1
}

func (a *analysis) load(i insn, st *state) value {
	base := st.reg(i.src)
	if base.kind != frame {
		return value{}
	}
	if s := slotOf(base, i.off, i.size()); s >= 0 {
		return st.slot(s)
	}
	// A part of a slot, or any slot.
	return a.sets.blur(st.stack...)
}

// store writes v.
func (a *analysis) store(pc int, st *state, i insn, v value) {
	base := st.reg(i.dst)
	if base.kind == frame {
		if s := slotOf(base, i.off, i.size()); s >= 0 {
			st.setSlot(s, v)
			return
		}
		a.storeSomewhere(st, base, i, v)
		return
	}
	a.escape(v)
	a.write(pc, base, i)
}

// storeSomewhere writes to a part of a slot, or to a slot that is not known.
func (a *analysis) storeSomewhere(st *state, base value, i insn, v value) {
	a.escape(v)
	at := base.off + int64(i.off)
	for s := range st.stack {
		low := int64(-8 * (s + 1))
		if base.off == frameUnknown || at < low+8 && low < at+int64(i.size()) {
			st.stack[s] = a.sets.blur(st.stack[s])
		}
	}
}

func (a *analysis) atomic(pc int, st *state, i insn) {
	switch {
	case i.imm == atomicLoadAcq:
		st.setReg(i.dst, a.load(i, st))
		return
	case i.imm == atomicCmpXchg:
		st.setReg(0, value{})
	}
	base, v := st.reg(i.dst), st.reg(i.src)
	if base.kind == frame {
		a.storeSomewhere(st, base, i, v)
	} else {
		a.escape(v)
		a.write(pc, base, i)
		// Another constant than 1 is the unit of a counter: one run, too.
		if a.out != nil && (v.kind != constant || v.off <= 0) {
			a.out.any[pc] = true
		}
	}
	if i.imm&atomicFetch != 0 && i.imm != atomicCmpXchg {
		st.setReg(i.src, value{})
	}
}

// write notes a write through base.
func (a *analysis) write(pc int, base value, i insn) {
	if a.out == nil {
		return
	}
	switch base.kind {
	case pointer:
		acc := Access{Map: base.m, Off: base.off + int64(i.off), Size: i.size()}
		a.out.updates[acc] = true
		a.out.sites[pc] = acc
	case oneOf:
		for _, t := range a.sets.all[base.m] {
			if t.unknown {
				a.out.unknown[t.m] = true
				continue
			}
			a.out.maybe[Access{Map: t.m, Off: t.off + int64(i.off), Size: i.size()}] = true
		}
		a.out.opaqueStores = true // it may also be something else
	default:
		a.out.opaqueStores = true
	}
}

// escape notes that v is written to memory that is not tracked.
func (a *analysis) escape(v value) {
	for _, t := range a.sets.targets(v) {
		a.escaped[t.m] = true
	}
}

// escapeAll gives up on all that st knows.
func (a *analysis) escapeAll(st *state) {
	for _, v := range st.regs {
		a.escape(v)
	}
	for _, v := range st.stack {
		a.escape(v)
	}
}

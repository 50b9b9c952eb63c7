/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The few kernel types that filewatch reads, instead of a vmlinux.h of several megabytes.
 *
 * A struct here names only the members that are used. Their offsets are wrong on purpose: with
 * preserve_access_index clang records "member x of struct y", and the loader writes the offset of
 * the running kernel into the instruction (CO-RE). A name with three underscores is a flavour:
 * the loader drops "___..." before it looks the type up, so that one struct can be described as
 * it was in several kernels.
 */
#ifndef FILEWATCH_VMLINUX_MIN_H
#define FILEWATCH_VMLINUX_MIN_H

/* bpf_tracing.h picks the kernel's names of registers (di) over user space's (rdi) by this. */
#define __VMLINUX_H__

typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
enum { false, true };

/* Parts of the kernel's user-space interface (include/uapi/linux/bpf.h); numbers never change. */
enum bpf_map_type {
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_RINGBUF = 27,
};
#define BPF_F_CURRENT_CPU 0xffffffffULL

/* As in linux/version.h. */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))

/*
 * Registers at a kprobe. The kernel checks and translates access to this context by offset, so the
 * layout up to the last member is the real one and is not relocated.
 */
#ifdef __TARGET_ARCH_powerpc
struct pt_regs {
	unsigned long gpr[32];
};
#else
struct pt_regs { /* x86 */
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#endif

struct user_pt_regs { /* arm64 */
	__u64 regs[31];
	__u64 sp, pc, pstate;
};

struct user_regs_struct { /* riscv */
	unsigned long pc, ra, sp, gp, tp, t0, t1, t2, s0, s1, a0, a1, a2, a3, a4, a5, a6, a7;
};

typedef struct { /* s390 */
	unsigned long args[1];
	struct {
		unsigned long mask, addr;
	} psw;
	unsigned long gprs[16];
} user_pt_regs;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct qstr {
	__u32 len;
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

/* fs/mount.h: what a struct vfsmount is embedded in */
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct timespec64 {
	__s64 tv_sec;
};

struct inode { /* until 6.5 */
	struct timespec64 i_ctime;
};

struct inode___6_6 { /* 6.6 to 6.10: renamed, to be read by inode_get_ctime() only */
	struct timespec64 __i_ctime;
};

struct inode___6_11 { /* since 6.11: split in two members to save space */
	__s64 i_ctime_sec;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_flags;
	unsigned int f_mode;
};

struct linux_binprm {
	struct file *file;
	const char *filename;
	int argc;
};

struct thread_info {
	unsigned long flags;
	__u32 status; /* x86 */
};

struct task_struct {
	struct thread_info thread_info;
	int tgid;
	struct task_struct *real_parent;
};

/* kernel/bpf/ringbuf.c, since 5.8: there to ask whether it exists */
struct bpf_ringbuf {
	int nr_pages;
};

#pragma clang attribute pop

#endif

/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Questions whose answer depends on the kernel or on the architecture. */
#ifndef FILEWATCH_KERNEL_H
#define FILEWATCH_KERNEL_H

extern int LINUX_KERNEL_VERSION __kconfig;

/*
 * Bits of file.f_mode. They are preprocessor constants, so type information does not have them and
 * only the version of the kernel tells which one holds.
 */
#define FMODE_NOACCOUNT (1U << 29)    /* 4.19 and later */
#define FMODE_BACKING_6_5 (1U << 25)  /* 6.5 to 6.13 */
#define FMODE_BACKING_6_14 (1U << 24) /* 6.14 and later */

#define FMODE_EXEC 0x20 /* in file.f_flags */

/*
 * is_inner_open reports whether the kernel opens the file on its own behalf. A file on overlayfs
 * is opened twice, the second time by overlayfs in the lower or upper layer, and nobody wants to
 * see that one.
 */
static __always_inline bool is_inner_open(struct file *file)
{
	__u32 mark = FMODE_NOACCOUNT;

	if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 5, 0))
		mark = FMODE_BACKING_6_5;
	if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 14, 0))
		mark = FMODE_BACKING_6_14;
	return BPF_CORE_READ(file, f_mode) & mark;
}

/* inode_ctime returns the time of the last change of an inode, whatever this kernel calls it. */
static __always_inline __s64 inode_ctime(struct inode *inode)
{
	struct inode___6_6 *renamed = (void *)inode;
	struct inode___6_11 *split = (void *)inode;
	__s64 ctime = -1;

	if (bpf_core_field_exists(inode->i_ctime))
		ctime = BPF_CORE_READ(inode, i_ctime.tv_sec);
	if (bpf_core_field_exists(renamed->__i_ctime))
		ctime = BPF_CORE_READ(renamed, __i_ctime.tv_sec);
	if (bpf_core_field_exists(split->i_ctime_sec))
		ctime = BPF_CORE_READ(split, i_ctime_sec);
	return ctime;
}

/* is_compat_task reports whether the task is inside a 32-bit system call. */
#if defined(__TARGET_ARCH_x86)
#define TS_COMPAT 0x0002
static __always_inline bool is_compat_task(struct task_struct *task)
{
	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}
#elif defined(__TARGET_ARCH_arm64)
#define TIF_32BIT 22
static __always_inline bool is_compat_task(struct task_struct *task)
{
	return BPF_CORE_READ(task, thread_info.flags) >> TIF_32BIT & 1;
}
#else
static __always_inline bool is_compat_task(struct task_struct *task)
{
	return false;
}
#endif

#endif

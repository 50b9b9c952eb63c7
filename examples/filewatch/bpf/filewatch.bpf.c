// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * filewatch: who opens which file, and who executes what.
 *
 *   file opened --+-- open_fentry   where the kernel has fentry: bpf_d_path() gives the path
 *                 +-- open_kprobe   elsewhere; filters, then tail calls one of
 *                        +-- path_loop     walks up to the root in bpf_loop() (5.17)
 *                        +-- path_bounded  the same in a bounded loop, not so far
 *   program executed - exec_tp
 *
 * The loader (watcher.go) loads only the programs that it is going to attach.
 */
#include "vmlinux_min.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "event.h"
#include "kernel.h"
#include "match.h"
#include "output.h"
#include "path.h"

/* Build with -DFILEWATCH_DEBUG=1 to see filtered events in the kernel's trace_pipe. */
#ifndef FILEWATCH_DEBUG
#define FILEWATCH_DEBUG 0
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The process that reads the events; 0: watch that one too. */
const volatile __u32 ignored_pid = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct filter);
} filters SEC(".maps");

/* An event is too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct event);
} scratch SEC(".maps");

enum { STAGE_PATH };

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} stages SEC(".maps");

static __always_inline struct filter *get_filter(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&filters, &zero);
}

static __always_inline struct event *get_scratch(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&scratch, &zero);
}

/* wants_task applies the part of the filter that needs no path. */
static __always_inline bool wants_task(const struct filter *f, const struct event *e)
{
	if (ignored_pid && e->pid == ignored_pid)
		return false;
	if (f->use & USE_KINDS && !(f->kinds >> e->kind & 1))
		return false;
	if (f->use & USE_PID && e->pid != f->pid)
		return false;
	if (f->use & USE_UID && e->uid != f->uid)
		return false;
	if (f->use & USE_COMM && !has_prefix(e->comm, f->comm, f->comm_len, COMM_SIZE))
		return false;
	return true;
}

static __always_inline bool wants_path(const struct filter *f, const struct event *e)
{
	if (f->use & USE_PREFIX && !has_prefix(e->path, f->prefix, f->prefix_len, PREFIX_SIZE))
		return false;
	if (f->use & USE_NEEDLE && !has_needle(e->path, f))
		return false;
	return true;
}

/* event_start describes the current task. It returns NULL when the filter does not want the task. */
static __always_inline struct event *event_start(__u8 kind)
{
	struct filter *f = get_filter();
	struct event *e = get_scratch();
	struct task_struct *task;
	__u64 id;

	if (!f || !e)
		return 0;
	id = bpf_get_current_pid_tgid();
	e->pid = id >> 32;
	e->tid = id;
	e->uid = bpf_get_current_uid_gid();
	e->kind = kind;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	if (!wants_task(f, e))
		return 0;

	task = (void *)bpf_get_current_task();
	e->time_ns = bpf_ktime_get_ns();
	e->ppid = BPF_CORE_READ(task, real_parent, tgid);
	e->flags = is_compat_task(task) ? EVENT_COMPAT : 0;
	e->path_len = 0;
	return e;
}

static __always_inline void describe_open(struct event *e, struct file *file)
{
	e->info = BPF_CORE_READ(file, f_flags);
	e->ctime_sec = inode_ctime(BPF_CORE_READ(file, f_inode));
	if (e->info & FMODE_EXEC)
		e->flags |= EVENT_FOR_EXEC;
}

static __always_inline void print_unwanted(const struct event *e)
{
	bpf_printk("filewatch: not wanted: %s", e->path);
}

/* event_finish applies the rest of the filter and sends the event. */
static __always_inline void event_finish(void *ctx, struct event *e)
{
	struct filter *f = get_filter();

	if (!f)
		return;
	if (!wants_path(f, e)) {
		if (FILEWATCH_DEBUG)
			print_unwanted(e);
		return;
	}
	/*
	 * fentry programs and tracepoints may be preempted, and another task's event may then use
	 * the scratch space of this CPU.
	 */
	if (e->tid != (__u32)bpf_get_current_pid_tgid()) {
		count_lost(LOST_PREEMPTED);
		return;
	}
	send(ctx, e);
}

SEC("fentry/security_file_open")
int BPF_PROG(open_fentry, struct file *file)
{
	struct event *e;
	long len;

	if (is_inner_open(file))
		return 0;
	e = event_start(EVENT_OPEN);
	if (!e)
		return 0;
	describe_open(e, file);

	len = bpf_d_path(&file->f_path, e->path, sizeof(e->path));
	if (len < 0) { /* ENAMETOOLONG */
		e->path[0] = 0;
		len = 1;
		e->flags |= EVENT_TRUNCATED;
	}
	e->path_len = len;
	event_finish(ctx, e);
	return 0;
}

SEC("kprobe/security_file_open")
int BPF_KPROBE(open_kprobe, struct file *file)
{
	struct event *e;

	if (is_inner_open(file))
		return 0;
	e = event_start(EVENT_OPEN);
	if (!e)
		return 0;
	describe_open(e, file);
	/*
	 * The path is a program of its own for two reasons: kernels without bpf_loop() must not see
	 * its callback, and arm64 before 6.0 does not mix tail calls and subprograms.
	 */
	bpf_tail_call(ctx, &stages, STAGE_PATH);
	/*
	 * Only reached without a program in the map. To a compiler every call returns; the label makes
	 * what follows a part of its own in coverage reports.
	 */
no_stage: __attribute__((unused));
	count_lost(LOST_NO_STAGE);
	return 0;
}

SEC("kprobe/path_loop")
int BPF_KPROBE(path_loop, struct file *file)
{
	struct event *e = get_scratch();
	struct walk *w = walk_start(file);

	if (!e || !w)
		return 0;
	bpf_loop(DEPTH_LOOP, walk_callback, &w, 0);
	walk_finish(w, e);
	event_finish(ctx, e);
	return 0;
}

SEC("kprobe/path_bounded")
int BPF_KPROBE(path_bounded, struct file *file)
{
	struct event *e = get_scratch();
	struct walk *w = walk_start(file);

	if (!e || !w)
		return 0;
	for (int i = 0; i < DEPTH_BOUNDED; i++)
		if (walk_step(w))
			break;
	walk_finish(w, e);
	event_finish(ctx, e);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_tp, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct event *e = event_start(EVENT_EXEC);
	long len;

	if (!e)
		return 0;
	e->info = bprm->argc;
	e->ctime_sec = inode_ctime(BPF_CORE_READ(bprm, file, f_inode));
	len = bpf_probe_read_kernel_str(e->path, sizeof(e->path), bprm->filename);
	if (len < 0) {
		e->path[0] = 0;
		len = 1;
	}
	e->path_len = len;
	event_finish(ctx, e);
	return 0;
}

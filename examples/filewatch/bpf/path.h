/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The absolute path of a file where bpf_d_path() may not be called: in kprobes.
 *
 * The walk goes from the file up to the root, over mount points, and writes names from the end of
 * a buffer towards its beginning. Unlike d_path() it ends at the root of the mount namespace and
 * not at the root of the process, and renames in between can garble it.
 */
#ifndef FILEWATCH_PATH_H
#define FILEWATCH_PATH_H

#define DEPTH_BOUNDED 32 /* steps of a loop that the verifier must follow one by one */
#define DEPTH_LOOP 512   /* steps of bpf_loop(), whose body is verified once */

/*
 * The state of a walk is in a map and not on the stack: what the verifier reads back from a map is
 * unknown to it, so that all passes of the bounded loop look alike and it need not try every
 * combination of names and mount points.
 */
struct walk {
	struct dentry *dentry;
	struct mount *mnt;
	__u32 off;  /* where in buf the path starts so far */
	bool whole; /* the root was reached */
	char buf[PATH_SIZE + NAME_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk);
} walks SEC(".maps");

static __always_inline struct walk *walk_start(struct file *file)
{
	__u32 zero = 0;
	struct walk *w = bpf_map_lookup_elem(&walks, &zero);
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);

	if (!w)
		return 0;
	w->dentry = BPF_CORE_READ(file, f_path.dentry);
	/* container_of(mnt, struct mount, mnt), with this kernel's offset */
	w->mnt = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
	w->off = PATH_SIZE - 1;
	w->buf[PATH_SIZE - 1] = 0;
	w->whole = false;
	return w;
}

/* walk_step adds one name, or crosses one mount point. It returns 1 when there is no further step. */
static __noinline int walk_step(struct walk *w)
{
	/* Not BPF_CORE_READ(w->mnt, ...): it would relocate the access to our own struct as well. */
	struct dentry *dentry = w->dentry;
	struct mount *mnt = w->mnt;
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

	if (dentry == parent || dentry == BPF_CORE_READ(mnt, mnt.mnt_root)) {
		struct mount *above = BPF_CORE_READ(mnt, mnt_parent);

		if (above == mnt) {
			w->whole = true;
			return 1;
		}
		w->dentry = BPF_CORE_READ(mnt, mnt_mountpoint);
		w->mnt = above;
		return 0;
	}

	__u32 len = BPF_CORE_READ(dentry, d_name.len);
	__u32 off = w->off;

	if (len >= NAME_SIZE || len + 1 > off)
		return 1;
	off -= len;
	/* The masks change nothing; they tell the verifier what the comparison above means. */
	bpf_probe_read_kernel(&w->buf[off & (PATH_SIZE - 1)], len & (NAME_SIZE - 1),
			      BPF_CORE_READ(dentry, d_name.name));
	off--;
	w->buf[off & (PATH_SIZE - 1)] = '/';
	w->off = off;
	w->dentry = parent;
	return 0;
}

/* walk_callback is for bpf_loop(), whose context must be on the stack: it is a pointer to the walk. */
static long walk_callback(__u32 i, struct walk **w)
{
	return walk_step(*w);
}

/* walk_finish moves the path that w found to the start of e->path. */
static __always_inline void walk_finish(struct walk *w, struct event *e)
{
	__u32 off = w->off;

	if (!w->whole)
		e->flags |= EVENT_TRUNCATED;
	else if (off == PATH_SIZE - 1) /* the root itself */
		w->buf[--off] = '/';

	__u32 len = PATH_SIZE - off;
	if (len > PATH_SIZE)
		return;
	bpf_probe_read_kernel(e->path, len, &w->buf[off & (PATH_SIZE - 1)]);
	e->path_len = len;
}

#endif

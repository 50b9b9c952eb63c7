/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What the BPF programs and the Go loader agree on; event.go and filter.go are the other side. */
#ifndef FILEWATCH_EVENT_H
#define FILEWATCH_EVENT_H

#define COMM_SIZE 16    /* TASK_COMM_LEN */
#define PATH_SIZE 4096  /* PATH_MAX, and a power of two: offsets are masked with PATH_SIZE - 1 */
#define NAME_SIZE 256   /* NAME_MAX + 1 */
#define PREFIX_SIZE 128 /* longest path prefix of a filter */
#define NEEDLE_SIZE 64  /* longest part of a path to look for, NUL included */

enum event_kind {
	EVENT_OPEN = 1,
	EVENT_EXEC = 2,
};

enum event_flags {
	EVENT_TRUNCATED = 1 << 0, /* path lacks its beginning: too deep or too long */
	EVENT_COMPAT = 1 << 1,    /* by a 32-bit system call */
	EVENT_FOR_EXEC = 1 << 2,  /* the kernel opens the file to execute it */
};

struct event {
	__u64 time_ns;   /* CLOCK_MONOTONIC */
	__s64 ctime_sec; /* last change of the inode, seconds since 1970; -1 when not known */
	__u32 pid;       /* thread group, as in the initial pid namespace */
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u32 info; /* open: f_flags (O_...); exec: number of arguments */
	__u16 path_len; /* bytes of path that follow, NUL included */
	__u8 kind;
	__u8 flags;
	char comm[COMM_SIZE];
	char path[PATH_SIZE]; /* only path_len bytes of it are sent */
};

/* Which members of struct filter count. */
enum filter_use {
	USE_PID = 1 << 0,
	USE_UID = 1 << 1,
	USE_COMM = 1 << 2,
	USE_PREFIX = 1 << 3,
	USE_NEEDLE = 1 << 4,
	USE_KINDS = 1 << 5,
};

struct filter {
	__u32 use;
	__u32 pid;
	__u32 uid;
	__u32 kinds; /* bit n: events of kind n */
	__u32 comm_len;
	__u32 prefix_len;
	char comm[COMM_SIZE];
	char prefix[PREFIX_SIZE];
	char needle[NEEDLE_SIZE];
	/* For matching the needle without the kernel's help, see match.h. */
	__u64 needle_accept;
	__u64 needle_mask[256];
};

/* Why an event was lost; indices of the map "lost". */
enum lost_reason {
	LOST_FULL,      /* no room in the buffer */
	LOST_PREEMPTED, /* another task's event overwrote it while it was being made */
	LOST_NO_STAGE,  /* no program to tail call */
	LOST_REASONS,
};

#endif

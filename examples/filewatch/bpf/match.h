/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* String matching that the verifier accepts. */
#ifndef FILEWATCH_MATCH_H
#define FILEWATCH_MATCH_H

#define NEEDLE_REACH 256 /* bytes of a path in which has_needle() looks on kernels before 6.17 */

/* Since Linux 6.17; reads both strings safely, returns an index or a negative error. */
extern int bpf_strnstr(const char *s1__ign, const char *s2__ign, __u64 len) __weak __ksym;

/* has_prefix reports whether s, of at least max bytes, starts with the first len bytes of prefix. */
static __always_inline bool has_prefix(const char *s, const char *prefix, __u32 len, __u32 max)
{
	for (__u32 i = 0; i < max; i++) {
		if (i >= len)
			return true;
		if (s[i] != prefix[i])
			return false;
	}
	return true;
}

/*
 * find_needle looks for the filter's needle by the shift-and algorithm: bit n of state says that the
 * last n+1 bytes are the first n+1 of the needle, and user space prepared which bits each byte lets
 * through. One pass and no inner loop, so the verifier's work grows with NEEDLE_REACH alone.
 */
static __always_inline bool find_needle(const char *s, const struct filter *f)
{
	__u64 state = 0;

	for (__u32 i = 0; i < NEEDLE_REACH; i++) {
		__u8 c = s[i];
		if (!c)
			return false;
		state = (state << 1 | 1) & f->needle_mask[c];
		if (state & f->needle_accept)
			return true;
	}
	return false;
}

/*
 * has_needle reports whether s contains the filter's needle. The kernel refuses a program that names a
 * kernel function when it has no JIT, as on Debian's s390x; unreachable code names it as well.
 */
static __always_inline bool has_needle(const char *s, const struct filter *f)
{
#ifndef __TARGET_ARCH_s390
	if (!bpf_strnstr)
#endif
		return find_needle(s, f);
	return bpf_strnstr(s, f->needle, PATH_SIZE) >= 0;
}

#endif

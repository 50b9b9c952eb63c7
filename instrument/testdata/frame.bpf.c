// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * The array takes nearly the whole frame of 512 bytes and the values nearly all registers, so that there is no room for
 * counters. With -DTOO_LARGE there is none for the array either.
 */
#ifdef TOO_LARGE
#define SIZE 640
#else
#define SIZE 504
#endif

static long (*get)(void *, int) = (void *)6;

__attribute__((section("xdp"), used)) long prog(volatile long *ctx)
{
	char frame[SIZE];
	long a, b, c, d, e, f, g;

	get(frame, sizeof(frame));
	a = ctx[0];
	b = ctx[1];
	c = ctx[2];
	d = ctx[3];
	e = ctx[4];
	f = ctx[5];
	g = ctx[6];
	while (ctx[6] != a) {
		if (ctx[7] > b)
			ctx[8] = c;
		if (ctx[9] > a)
			ctx[10] = b;
		ctx[11] = c;
	}
	return a + b + c + d + e + f + g;
}

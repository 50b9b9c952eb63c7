/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* A header with code of its own: parity is inlined at two places, and its counts are their sum. */

static inline __attribute__((always_inline)) int parity(int x)
{                    /* want 2*N */
	int odd = 0;     /* want 2*N */

	if (x & 1)       /* want 2*N; branch 3*N/2:N/2 */
		odd = 1;     /* want 3*N/2 */
	return odd;      /* want 2*N */
}                    /* want 2*N */

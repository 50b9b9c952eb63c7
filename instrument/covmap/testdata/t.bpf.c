/* The source of the fixtures; see fixtures_test.go for how they are made. */
#define BOTH(x, y) ((x) && (y))
#define PICK(x, y) (BOTH(x, y) ? (x) : (y))
volatile unsigned g;

static inline unsigned unused(unsigned a) { return a; }

static __attribute__((noinline)) unsigned helper(unsigned a, unsigned b)
{
	if (PICK(a, b) > 3)
		return 1;
#if 0
	return 2;
#endif
	return a || b ? 3 : 4;
}

unsigned prog(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		switch (g) {
		case 1:
			g++;
			break;
		case 2:
			g--;
		default:
			g = helper(i, n);
		}
		if (0)
			g = 7;
	}
	return g;
}

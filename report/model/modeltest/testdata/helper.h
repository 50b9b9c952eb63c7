static inline int clamp(int n, int limit)
{
	if (n > limit)
		return limit;
	return n;
}

static inline int unused(int n)
{
	return n * 2;
}

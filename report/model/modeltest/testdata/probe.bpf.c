#include "helper.h"

#define SEC(name) __attribute__((section(name), used))
#define BOTH(a, b) ((a) > 0 && (b) > 0)

const volatile int wanted;
int seen, dropped;

static __attribute__((noinline)) int emit(int n)
{
	if (n > 100) {
		seen++;
		n = clamp(n, 4096);
	} else {
		dropped++;
		n = 0;
	}
	return n;
}

SEC("tracepoint/open")
int handle_open(int *ctx)
{
	int n = ctx[0];

	if (wanted && n != wanted)
		return 0;
	if (BOTH(n, ctx[1]))
		seen++;
	for (int i = 0; i < 4; i++)
		n += ctx[i];
	return emit(n);
}

SEC("fentry/exec")
int handle_exec_fentry(int *ctx)
{
	int n = ctx[2];

	n += clamp(ctx[1], 16);
	if (n == 0)
		return 0;
	dropped += n;
	return emit(n);
}

#ifdef __TARGET_ARCH_arm64
SEC("kprobe/exec")
int handle_exec_kprobe(int *ctx)
{
	return emit(ctx[0]);
	seen = 0;
}
#endif

SEC("tracepoint/exit")
int handle_exit(int *ctx)
{
	switch (ctx[0]) {
	case 0:
		return 0;
	case 1:
		seen--;
		break;
	default:
		seen = ctx[1] ? 1 : 2;
	}
	return seen;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

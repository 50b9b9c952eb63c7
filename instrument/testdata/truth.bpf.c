// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
//
// A program whose exact counts are known. The packet holds the bytes 0, 1, 2, … 31. After "//=" comes
// how often a line runs in one run of the program, after "?" how often each condition of the line was
// true and false, in order of their columns. load_test.go compares.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __noinline __attribute__((noinline))
#define __always_inline inline __attribute__((always_inline))

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

enum { XDP_ABORTED, XDP_DROP, XDP_PASS };

static long (*const bpf_tail_call)(void *ctx, void *map, u32 index) = (void *)12;

struct {
	int (*type)[3]; // BPF_MAP_TYPE_PROG_ARRAY
	int (*max_entries)[2];
	int (*key_size)[4];
	int (*value_size)[4];
} next SEC(".maps");

const volatile int off = 0; // folded by the verifier
volatile u64 sink;

static __always_inline int clamp(int v) { //=2
	if (v > 100)		 //=2 ?1,1
		return 100;	 //=1
	return v;		 //=1
}

static __noinline int scale(int v, int by) { //=4
	int r = 0;		     //=4
	for (int i = 0; i < by; i++) //=10 ?6,4
		r += v & 0xff;	     //=6
	return r;		     //=4
}

static __noinline int classify(u8 b) { //=16
	switch (b & 3) { //=16
	case 0:		 //=4 ?4,12
		return 1; //=4
	case 1:		 //=4 ?4,12
	case 2:		 //=8 ?4,12
		break;	 //=8
	default:	 //=4 ?4,12
		return 5; //=4
	}
	return 2; //=8
}

static inline int unused(int v) { //=0
	return v + 1; //=0
}

volatile u64 speeds[] = {0, 5199, 5200, 5201, 0x80000000, 0xffffffff};
u32 slots[26];

/* Limits on values: a counter in them must not hide the bound from the verifier. */
static __noinline void record(u64 speed) { //=6
	u64 slot = speed / 200; //=6
	if (slot >= 26)		//=6 ?4,2
		slot = 25;	//=4
	slots[slot] += 1;	//=6

	u8 byte = speed;	     //=6
	if (byte > 80)		     //=6 ?2,4
		byte = 80;	     //=2
	int low = speed, high = low; //=6
	if (low < -3)		     //=6 ?1,5
		low = -3;	     //=1
	if (high >= 0)		     //=6 ?4,2
		high = -1;	     //=4
	if (byte > 70)		     //=6 ?4,2
		byte = 9;	     //=4
	u32 wide = speed;	     //=6
	if (wide <= 0xfffffffe)	     //=6 ?5,1
		wide = 0xffffffff;   //=5
	sink += byte + low + high + wide; //=6
}

SEC("xdp") int tail(struct xdp_md *ctx) { //=1
	sink += 1;		       //=1
	return off ? XDP_DROP : XDP_PASS; //=1 ?0,1
}

SEC("xdp") int truth(struct xdp_md *ctx) { //=1
	u8 *p = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end; //=1
	int sum = 0;						       //=1

	if (p + 32 > end)	    //=1 ?0,1
		return XDP_ABORTED; //=0

	for (int i = 0; i < 16; i++) { //=17 ?16,1
		if (p[i] & 1)	       //=16 ?8,8
			sum += 1;      //=8
		else		       //=8
			sum += 2;      //=8
		sum += classify(p[i]); //=16
	}

	for (int i = 0; i < 3; i++)    //=4 ?3,1
		sum += scale(p[i], i + 1); //=3

	if (p[3] == 3 && p[4] == 9) //=1 ?1,0;0,1
		sum += 1000;	    //=0
	if (p[3] == 4 && p[4] == 4) //=1 ?0,1;0,0
		sum += 1000;	    //=0
	if (p[5] == 9 || p[6] == 6) //=1 ?0,1;1,0
		sum += 3;	    //=1
	if (p[5] == 5 || p[6] == 6) //=1 ?1,0;0,0
		sum += 3;	    //=1

	sum += p[7] > 6 ? 10 : 20;	    //=1 ?1,0
	sum += off ? 1 : 2;		    //=1 ?0,1
	sum += p[8] > 6 ? scale(p[8], 0) & 1 : 7; //=1 ?1,0

	sink += clamp(p[9]);	    //=1
	sink += clamp(p[31] + 200); //=1

	if (off) {	     //=1 ?0,1
		sum += 5;    //=0
		sink += sum; //=0
	}

	for (int i = 0; i < 6; i++) //=7 ?6,1
		record(speeds[i]);  //=6

	u32 n = 0;	      //=1
	for (;;) {	      //=4
		if (n >= 4)   //=4 ?1,3
			break; //=1
		if (n == 1) { //=3 ?1,2
			n += 2;	  //=1
			continue; //=1
		}
		n++; //=2
	}
	sink += sum + n;	   //=1
	bpf_tail_call(ctx, &next, 0); //=1
	return XDP_ABORTED;	   //=1
}

char LICENSE[] SEC("license") = "GPL";

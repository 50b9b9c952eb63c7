// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * A large program: a packet filter as people write them. It parses Ethernet with VLAN tags, IPv4, IPv6 with
 * extension headers, TCP with its options, UDP, ICMP and the names of DNS questions; it tracks flows, limits the
 * rate of each source, and counts. Nothing is left out to please an older verifier or a coverage tool.
 */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAX_VLANS 2
#define MAX_EXTENSIONS 4
#define MAX_TCP_OPTIONS 5 /* what Linux sends in a SYN; each more doubles the paths */
#define MAX_NAME 32
#define MAX_LABEL 63
#define BURST 1000000

struct vlan_header {
	__be16 tci;
	__be16 proto;
};

/* linux/icmp.h needs a C library's headers. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 rest;
};

enum {
	ICMP_ECHOREPLY = 0,
	ICMP_DEST_UNREACH = 3,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMPV6_PARAMPROB = 4,
	ICMPV6_ECHO_REQUEST = 128,
};

struct dns_header {
	__be16 id;
	__be16 flags;
	__be16 questions;
	__be16 answers;
	__be16 authorities;
	__be16 additional;
};

struct cursor {
	void *pos;
	void *end;
};

struct flow_key {
	__u32 src[4];
	__u32 dst[4];
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 family;
	__u16 vlan;
};

struct flow {
	__u64 packets;
	__u64 bytes;
	__u64 last;
	__u32 mss;
	__u8 wscale;
	__u8 flags;
	__u8 state;
	__u8 pad;
};

struct bucket {
	__u64 tokens;
	__u64 last;
};

enum state { STATE_NEW, STATE_OPENING, STATE_OPEN, STATE_CLOSING };

enum reason {
	REASON_PASSED,
	REASON_MALFORMED,
	REASON_FRAGMENT,
	REASON_LIMITED,
	REASON_FLAGS,
	REASON_DNS,
	REASON_ICMP,
	REASON_TABLE_FULL,
	REASONS,
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

static __always_inline void *take(struct cursor *c, __u32 size)
{
	void *p = c->pos;

	if (p + size > c->end)
		return 0;
	c->pos = p + size;
	return p;
}

static __always_inline int verdict(enum reason why)
{
	__u32 key = why;
	__u64 *count = bpf_map_lookup_elem(&reasons, &key);

	if (count)
		(*count)++;
	return why == REASON_PASSED ? XDP_PASS : XDP_DROP;
}

/* parse_ethernet returns the protocol in network order, 0 for a packet that is too short. */
static __always_inline __be16 parse_ethernet(struct cursor *c, struct flow_key *key)
{
	struct ethhdr *eth = take(c, sizeof(*eth));
	__be16 proto;

	if (!eth)
		return 0;
	proto = eth->h_proto;
	for (int i = 0; i < MAX_VLANS; i++) {
		struct vlan_header *vlan;

		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		vlan = take(c, sizeof(*vlan));
		if (!vlan)
			return 0;
		if (i == 0)
			key->vlan = bpf_ntohs(vlan->tci) & 0xfff;
		proto = vlan->proto;
	}
	return proto;
}

static __always_inline enum reason parse_ipv4(struct cursor *c, struct flow_key *key)
{
	struct iphdr *ip = take(c, sizeof(*ip));
	__u32 options;

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return REASON_MALFORMED;
	if (ip->frag_off & bpf_htons(0x1fff))
		return REASON_FRAGMENT;
	options = (ip->ihl - 5) * 4;
	if (options && !take(c, options & 0x3c))
		return REASON_MALFORMED;
	key->family = 4;
	key->proto = ip->protocol;
	key->src[0] = ip->saddr;
	key->dst[0] = ip->daddr;
	return REASON_PASSED;
}

static __always_inline enum reason parse_ipv6(struct cursor *c, struct flow_key *key)
{
	struct ipv6hdr *ip = take(c, sizeof(*ip));
	__u8 next;

	if (!ip || ip->version != 6)
		return REASON_MALFORMED;
	next = ip->nexthdr;
	for (int i = 0; i < 4; i++) {
		key->src[i] = ip->saddr.in6_u.u6_addr32[i];
		key->dst[i] = ip->daddr.in6_u.u6_addr32[i];
	}
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		struct ipv6_opt_hdr *ext;
		__u32 size;

		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			ext = take(c, sizeof(*ext));
			if (!ext)
				return REASON_MALFORMED;
			next = ext->nexthdr;
			size = ext->hdrlen * 8 + 6;
			if (size > 256 || !take(c, size))
				return REASON_MALFORMED;
			continue;
		case IPPROTO_FRAGMENT:
			return REASON_FRAGMENT;
		}
		break;
	}
	key->family = 6;
	key->proto = next;
	return REASON_PASSED;
}

/* tcp_options reads the options that matter. The verifier looks at it once, for any offset, because it is global. */
__noinline int tcp_options(struct xdp_md *ctx, __u32 offset, __u32 length, struct flow *f)
{
	void *end = (void *)(long)ctx->data_end;
	__u32 at = 0;

	if (!f || offset > 512 || length > 40)
		return -1;
	for (int i = 0; i < MAX_TCP_OPTIONS; i++) {
		__u8 *option = (void *)(long)ctx->data + offset + at;
		__u8 kind, size;

		if (at >= length || (void *)(option + 1) > end)
			return 0;
		kind = option[0];
		if (kind == 0)
			return 0;
		if (kind == 1) {
			at++;
			continue;
		}
		if ((void *)(option + 2) > end)
			return -1;
		size = option[1];
		if (size < 2 || size > 40)
			return -1;
		if (kind == 2 && size == 4) {
			if ((void *)(option + 4) > end)
				return -1;
			f->mss = option[2] << 8 | option[3];
		} else if (kind == 3 && size == 3) {
			if ((void *)(option + 3) > end)
				return -1;
			f->wscale = option[2] > 14 ? 14 : option[2];
		}
		at += size;
		if (at > 40)
			return -1;
	}
	return 0;
}

static __always_inline void next_state(struct flow *f, const struct tcphdr *tcp)
{
	if (tcp->rst) {
		f->state = STATE_CLOSING;
		return;
	}
	switch (f->state) {
	case STATE_NEW:
		f->state = tcp->syn && !tcp->ack ? STATE_OPENING : STATE_OPEN;
		break;
	case STATE_OPENING:
		if (tcp->ack && !tcp->syn)
			f->state = STATE_OPEN;
		break;
	case STATE_OPEN:
		if (tcp->fin)
			f->state = STATE_CLOSING;
		break;
	case STATE_CLOSING:
		if (tcp->syn && !tcp->ack)
			f->state = STATE_OPENING;
		break;
	}
}

static __always_inline bool bad_flags(const struct tcphdr *tcp)
{
	if (tcp->syn && (tcp->fin || tcp->rst))
		return true;
	if (tcp->fin && !tcp->ack)
		return true;
	return !tcp->syn && !tcp->ack && !tcp->rst;
}

static __always_inline enum reason handle_tcp(struct xdp_md *ctx, struct cursor *c, struct flow_key *key, struct flow *f)
{
	struct tcphdr *tcp = take(c, sizeof(*tcp));
	__u32 options, offset;

	if (!tcp || tcp->doff < 5)
		return REASON_MALFORMED;
	key->sport = tcp->source;
	key->dport = tcp->dest;
	if (bad_flags(tcp))
		return REASON_FLAGS;
	next_state(f, tcp);
	options = (tcp->doff - 5) * 4;
	offset = c->pos - (void *)(long)ctx->data;
	if (options && tcp_options(ctx, offset, options, f))
		return REASON_MALFORMED;
	return REASON_PASSED;
}

/*
 * dns_name hashes the name of a question, without regard to case. It returns 0 when there is no proper one.
 */
__noinline __u32 dns_name(struct xdp_md *ctx, __u32 offset)
{
	__u8 *name = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u32 hash = 2166136261u;
	__u8 left = 0;

	if (offset > 512)
		return 0;
	name += offset;
	for (int i = 0; i < MAX_NAME; i++) {
		__u8 ch;

		if ((void *)(name + i + 1) > end)
			return 0;
		ch = name[i];
		if (left == 0) {
			if (ch == 0)
				return hash ? hash : 1;
			if (ch > MAX_LABEL)
				return 0;
			left = ch;
			continue;
		}
		left--;
		if (ch >= 'A' && ch <= 'Z')
			ch += 'a' - 'A';
		else if (ch < '-')
			return 0;
		hash = (hash ^ ch) * 16777619u;
	}
	return 0;
}

static __always_inline enum reason handle_udp(struct xdp_md *ctx, struct cursor *c, struct flow_key *key)
{
	struct udphdr *udp = take(c, sizeof(*udp));
	struct dns_header *dns;

	if (!udp || bpf_ntohs(udp->len) < sizeof(*udp))
		return REASON_MALFORMED;
	key->sport = udp->source;
	key->dport = udp->dest;
	if (udp->dest != bpf_htons(53))
		return REASON_PASSED;
	dns = take(c, sizeof(*dns));
	if (!dns)
		return REASON_DNS;
	if (dns->flags & bpf_htons(0x8000) || dns->questions != bpf_htons(1) || dns->answers)
		return REASON_DNS;
	if (!dns_name(ctx, c->pos - (void *)(long)ctx->data))
		return REASON_DNS;
	return REASON_PASSED;
}

static __always_inline enum reason handle_icmp(struct cursor *c, const struct flow_key *key)
{
	struct icmp_header *icmp = take(c, sizeof(*icmp));

	if (!icmp)
		return REASON_MALFORMED;
	if (key->family == 4) {
		switch (icmp->type) {
		case ICMP_ECHO:
		case ICMP_ECHOREPLY:
		case ICMP_DEST_UNREACH:
		case ICMP_TIME_EXCEEDED:
			return REASON_PASSED;
		}
		return REASON_ICMP;
	}
	if (icmp->type >= ICMPV6_ECHO_REQUEST || icmp->type <= ICMPV6_PARAMPROB)
		return REASON_PASSED;
	return REASON_ICMP;
}

/* limited takes a token from the bucket of the source, which fills by one every 16 ns, faster than one CPU empties it. */
static __always_inline bool limited(const struct flow_key *key, __u64 now)
{
	__u32 id = key->src[0] ^ key->src[1] ^ key->src[2] ^ key->src[3];
	struct bucket *b = bpf_map_lookup_elem(&buckets, &id);
	struct bucket fresh = {.tokens = BURST, .last = now};
	__u64 earned;

	if (!b) {
		bpf_map_update_elem(&buckets, &id, &fresh, BPF_ANY);
		return false;
	}
	earned = (now - b->last) >> 4;
	if (earned) {
		b->last = now;
		b->tokens = b->tokens + earned > BURST ? BURST : b->tokens + earned;
	}
	if (!b->tokens)
		return true;
	b->tokens--;
	return false;
}

static __always_inline enum reason track(const struct flow_key *key, const struct flow *seen, __u64 size, __u64 now)
{
	struct flow *f = bpf_map_lookup_elem(&flows, key);
	struct flow fresh = *seen;

	if (!f) {
		fresh.packets = 1;
		fresh.bytes = size;
		fresh.last = now;
		if (bpf_map_update_elem(&flows, key, &fresh, BPF_ANY))
			return REASON_TABLE_FULL;
		return REASON_PASSED;
	}
	f->packets++;
	f->bytes += size;
	f->last = now;
	if (seen->mss && (!f->mss || seen->mss < f->mss))
		f->mss = seen->mss;
	if (seen->state != f->state)
		f->state = seen->state;
	return REASON_PASSED;
}

SEC("xdp")
int large(struct xdp_md *ctx)
{
	struct cursor c = {(void *)(long)ctx->data, (void *)(long)ctx->data_end};
	__u64 size = c.end - c.pos, now = bpf_ktime_get_ns();
	struct flow_key key = {};
	struct flow seen = {};
	enum reason why;

	switch (parse_ethernet(&c, &key)) {
	case bpf_htons(ETH_P_IP):
		why = parse_ipv4(&c, &key);
		break;
	case bpf_htons(ETH_P_IPV6):
		why = parse_ipv6(&c, &key);
		break;
	case 0:
		return verdict(REASON_MALFORMED);
	default:
		return verdict(REASON_PASSED);
	}
	if (why != REASON_PASSED)
		return verdict(why);

	switch (key.proto) {
	case IPPROTO_TCP:
		why = handle_tcp(ctx, &c, &key, &seen);
		break;
	case IPPROTO_UDP:
		why = handle_udp(ctx, &c, &key);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		why = handle_icmp(&c, &key);
		break;
	}
	if (why != REASON_PASSED)
		return verdict(why);
	if (limited(&key, now))
		return verdict(REASON_LIMITED);
	return verdict(track(&key, &seen, size, now));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

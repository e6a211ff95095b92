/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses: one form for both families (IPv4 v4-mapped), as in mesh_abi.h.
 */
#pragma once

#include "bpf/include/vmlinux.h"
#include "bpf/include/mesh_abi.h"

static __always_inline struct mesh_addr addr_from_words(__u32 a, __u32 b, __u32 c, __u32 d)
{
	union {
		__u32 words[4];
		struct mesh_addr addr;
	} u = {.words = {a, b, c, d}};

	return u.addr;
}

static __always_inline struct mesh_addr addr_from_v4(__be32 v4)
{
	return addr_from_words(0, 0, bpf_htonl(0xffff), v4);
}

/* One end of a socket from a context that has both forms; the other family's fields read as
 * rubbish. */
#define ADDR_FROM_CTX(ctx, ip4, ip6)                                                               \
	({                                                                                         \
		__u32 v4_ = (ctx)->ip4, a_ = (ctx)->ip6[0], b_ = (ctx)->ip6[1];                    \
		__u32 c_ = (ctx)->ip6[2], d_ = (ctx)->ip6[3];                                      \
		READ_HERE(v4_);                                                                    \
		READ_HERE(a_);                                                                     \
		READ_HERE(b_);                                                                     \
		READ_HERE(c_);                                                                     \
		READ_HERE(d_);                                                                     \
		(ctx)->family == AF_INET ? addr_from_v4(v4_) : addr_from_words(a_, b_, c_, d_);    \
	})

static __always_inline __u32 addr_word(const struct mesh_addr *addr, int i)
{
	return ((const __u32 *)addr->bytes)[i];
}

static __always_inline bool addr_is_v4(const struct mesh_addr *addr)
{
	return !addr_word(addr, 0) && !addr_word(addr, 1) &&
	       addr_word(addr, 2) == bpf_htonl(0xffff);
}

static __always_inline bool addr_equal(const struct mesh_addr *a, const struct mesh_addr *b)
{
	return addr_word(a, 0) == addr_word(b, 0) && addr_word(a, 1) == addr_word(b, 1) &&
	       addr_word(a, 2) == addr_word(b, 2) && addr_word(a, 3) == addr_word(b, 3);
}

static __always_inline bool addr_is_loopback(const struct mesh_addr *addr)
{
	if (addr_is_v4(addr))
		return addr->bytes[12] == 127;
	return !addr_word(addr, 0) && !addr_word(addr, 1) && !addr_word(addr, 2) &&
	       addr_word(addr, 3) == bpf_htonl(1);
}

/* 0.0.0.0 and ::, which connect() takes as this host. */
static __always_inline bool addr_is_any(const struct mesh_addr *addr)
{
	if (addr_is_v4(addr))
		return !addr_word(addr, 3);
	return !addr_word(addr, 0) && !addr_word(addr, 1) && !addr_word(addr, 2) &&
	       !addr_word(addr, 3);
}

/* Where the daemon listens, in the family in which `addr` was asked for. */
static __always_inline struct mesh_addr addr_daemon(const struct mesh_addr *asked)
{
	if (addr_is_v4(asked))
		return addr_from_v4(bpf_htonl(0x7f000001));
	return addr_from_words(0, 0, 0, bpf_htonl(1));
}

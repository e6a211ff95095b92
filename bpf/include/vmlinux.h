/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel as the programs see it. They touch contexts of the stable interface only, so nothing
 * is relocated and no BTF of a running kernel is needed to build. A kernel structure, once one is
 * read, is declared here with the fields that are read and preserve_access_index.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Values that the interface headers keep among declarations no program can include. */
enum {
	AF_INET = 2,
	AF_INET6 = 10,
	SOCK_STREAM = 1,
	SOCK_DGRAM = 2,
	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
	IPPROTO_MPTCP = 262,
	SOL_IP = 0,
	SOL_IPV6 = 41,
	SO_ORIGINAL_DST = 80, /* and IP6T_SO_ORIGINAL_DST */
	ENOENT = 2,
	ECONNREFUSED = 111,
};

struct sockaddr_in {
	__u16 sin_family;
	__be16 sin_port;
	__be32 sin_addr;
	__u8 pad[8];
};

struct sockaddr_in6 {
	__u16 sin6_family;
	__be16 sin6_port;
	__be32 sin6_flowinfo;
	__u32 sin6_addr[4];
	__u32 sin6_scope_id;
};

/* Keeps a value read from a context where it was read. Otherwise clang joins the reads of two
 * branches into one at a computed offset: "dereference of modified ctx ptr disallowed" (seen
 * on 6.18). */
#define READ_HERE(x) asm volatile("" : "+r"(x))

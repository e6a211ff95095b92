// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attached to each enrolled pod's namespace: who gets an inbound connection. Runs once per
 * connection.
 */
#include "bpf/lib/inbound.h"

static __always_inline struct inbound inbound_from(struct bpf_sk_lookup *ctx)
{
	struct inbound in = {
	    .source = ADDR_FROM_CTX(ctx, remote_ip4, remote_ip6),
	    .destination = ADDR_FROM_CTX(ctx, local_ip4, local_ip6),
	    .source_port = bpf_ntohs((__u16)ctx->remote_port),
	    .destination_port = ctx->local_port,
	    .udp = ctx->protocol == IPPROTO_UDP,
	};

	return in;
}

static __always_inline int assign_listener(struct bpf_sk_lookup *ctx, __u64 netns_cookie,
					   __u32 family)
{
	struct mesh_listener_key key = {.netns_cookie = netns_cookie, .family = family};
	struct bpf_sock *sk = bpf_map_lookup_elem(&mesh_listeners, &key);
	long err;

	if (!sk)
		return -ENOENT;
	err = bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	return err;
}

/* Fails closed: no listener of the daemon, no connection. */
SEC("sk_lookup")
int mesh_lookup(struct bpf_sk_lookup *ctx)
{
	struct inbound in = inbound_from(ctx);
	struct inbound_verdict v = inbound_decide(&in);

	if (v.kind == INBOUND_LEAVE)
		return SK_PASS;
	if (v.kind == INBOUND_REFUSE) {
		count_refusal(v.reason);
		return SK_DROP;
	}
	if ((ctx->family == AF_INET && !assign_listener(ctx, v.netns_cookie, AF_INET)) ||
	    !assign_listener(ctx, v.netns_cookie, AF_INET6)) {
		count_capture(MESH_CAPTURE_INBOUND);
		return SK_PASS;
	}
	count_refusal(MESH_REASON_DAEMON_ABSENT);
	return SK_DROP;
}

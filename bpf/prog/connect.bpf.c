// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hooks of the node's cgroup on addresses: connect, sendmsg, recvmsg, getpeername, socket.
 * Return 1 lets the call go on, 0 fails it with EPERM.
 */
#include "bpf/lib/capture.h"

static __always_inline struct mesh_addr user_addr6(struct bpf_sock_addr *ctx)
{
	return addr_from_words(ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2],
			       ctx->user_ip6[3]);
}

static __always_inline __u16 user_port(struct bpf_sock_addr *ctx)
{
	return bpf_ntohs((__u16)ctx->user_port);
}

static __always_inline void set_user6(struct bpf_sock_addr *ctx, const struct mesh_addr *addr,
				      __u16 port)
{
	ctx->user_ip6[0] = addr_word(addr, 0);
	ctx->user_ip6[1] = addr_word(addr, 1);
	ctx->user_ip6[2] = addr_word(addr, 2);
	ctx->user_ip6[3] = addr_word(addr, 3);
	ctx->user_port = bpf_htons(port);
}

static __always_inline void set_user4(struct bpf_sock_addr *ctx, const struct mesh_addr *addr,
				      __u16 port)
{
	ctx->user_ip4 = addr_word(addr, 3);
	ctx->user_port = bpf_htons(port);
}

static __always_inline void count_outbound(const struct outbound *to)
{
	if (to->port == MESH_PORT_DNS)
		count_capture(to->udp ? MESH_CAPTURE_DNS_UDP : MESH_CAPTURE_DNS_TCP);
	else
		count_capture(addr_is_v4(&to->addr) ? MESH_CAPTURE_OUTBOUND_V4
						    : MESH_CAPTURE_OUTBOUND_V6);
}

/* Decides and remembers. Fails closed: a destination that cannot be remembered is refused. */
static __always_inline int take_outbound(struct bpf_sock_addr *ctx, struct outbound *out,
					 enum verdict *verdict)
{
	struct mesh_dst asked = {.addr = out->addr, .port = out->port};
	struct bpf_sock *sk = ctx->sk;
	struct mesh_dst *kept;

	if (!sk)
		return 1;
	*verdict = capture_decide(out);
	if (*verdict == LEAVE) {
		/* An earlier destination of this socket says nothing about the new one. */
		bpf_sk_storage_delete(&mesh_sk, sk);
		return 1;
	}
	kept = bpf_sk_storage_get(&mesh_sk, sk, &asked, BPF_SK_STORAGE_GET_F_CREATE);
	if (!kept) {
		count_refusal(MESH_REASON_LIMIT);
		return 0;
	}
	*kept = asked;
	count_outbound(out);
	return 1;
}

/* A socket that connects for DNS has no port yet, and the daemon knows the asker by its port only.
 * So it gets one now; when no try finds a free one, the server asked last stands in. */
static __always_inline __u16 own_port(struct bpf_sock_addr *ctx, bool v4)
{
	struct bpf_sock *sk = ctx->sk;
	struct sockaddr_in6 in6 = {};
	struct sockaddr_in in = {};
	__u16 port;
	int i;

	in.sin_family = AF_INET;
	in6.sin6_family = AF_INET6;
	if (!sk)
		return 0;
	if (sk->src_port)
		return sk->src_port;
	for (i = 0; i < 4; i++) {
		port = 32768 + bpf_get_prandom_u32() % 28232;
		in.sin_port = in6.sin6_port = bpf_htons(port);
		if (v4 && ctx->family == AF_INET) {
			if (!bpf_bind(ctx, (struct sockaddr *)&in, sizeof(in)))
				return port;
		} else if (!v4) {
			if (!bpf_bind(ctx, (struct sockaddr *)&in6, sizeof(in6)))
				return port;
		}
	}
	return 0;
}

static __always_inline void remember_dns(struct bpf_sock_addr *ctx, const struct outbound *to,
					 const struct mesh_addr *addr, __u16 source_port)
{
	struct mesh_dst server = {.addr = *addr, .port = DNS_PORT};

	if (to->udp && to->port == MESH_PORT_DNS)
		dns_remember(to->netns_cookie, source_port, &server);
}

static __always_inline bool is_tcp_or_udp(struct bpf_sock_addr *ctx)
{
	return (ctx->type == SOCK_STREAM && ctx->protocol == IPPROTO_TCP) ||
	       (ctx->type == SOCK_DGRAM && ctx->protocol == IPPROTO_UDP);
}

static __always_inline void set_user(struct bpf_sock_addr *ctx, const struct outbound *to, bool v4)
{
	if (v4)
		set_user4(ctx, &to->addr, to->port);
	else
		set_user6(ctx, &to->addr, to->port);
}

/* The first two fail closed, for a destination that cannot be remembered must not be reached past
 * the daemon. `v4` is the hook's family, a constant in each. */
static __always_inline int on_connect(struct bpf_sock_addr *ctx, struct mesh_addr asked, bool v4)
{
	struct outbound out = {.addr = asked, .port = user_port(ctx)};
	enum verdict verdict = LEAVE;

	if (!is_tcp_or_udp(ctx))
		return 1;
	out.netns_cookie = bpf_get_netns_cookie(ctx);
	out.udp = ctx->protocol == IPPROTO_UDP;
	if (!take_outbound(ctx, &out, &verdict))
		return 0;
	if (verdict == LEAVE)
		return 1;
	if (out.udp)
		remember_dns(ctx, &out, &asked, own_port(ctx, v4));
	set_user(ctx, &out, v4);
	return 1;
}

/* A question without connect: the port is bound by now. */
static __always_inline int on_sendmsg(struct bpf_sock_addr *ctx, struct mesh_addr asked, bool v4)
{
	struct outbound out = {.addr = asked, .port = user_port(ctx), .udp = true};
	struct bpf_sock *sk = ctx->sk;
	enum verdict verdict = LEAVE;

	if (out.port != DNS_PORT || !sk)
		return 1;
	out.netns_cookie = bpf_get_netns_cookie(ctx);
	if (!take_outbound(ctx, &out, &verdict))
		return 0;
	if (verdict == LEAVE)
		return 1;
	remember_dns(ctx, &out, &asked, sk->src_port);
	set_user(ctx, &out, v4);
	return 1;
}

SEC("cgroup/connect4")
int mesh_connect4(struct bpf_sock_addr *ctx)
{
	return on_connect(ctx, addr_from_v4(ctx->user_ip4), true);
}

SEC("cgroup/connect6")
int mesh_connect6(struct bpf_sock_addr *ctx)
{
	return on_connect(ctx, user_addr6(ctx), false);
}

SEC("cgroup/sendmsg4")
int mesh_sendmsg4(struct bpf_sock_addr *ctx)
{
	return on_sendmsg(ctx, addr_from_v4(ctx->user_ip4), true);
}

SEC("cgroup/sendmsg6")
int mesh_sendmsg6(struct bpf_sock_addr *ctx)
{
	return on_sendmsg(ctx, user_addr6(ctx), false);
}

/* The four below change what an application sees, never where bytes go, so they fail open. A kernel
 * demands that they return 1. */
static __always_inline const struct mesh_dst *shown_peer(struct bpf_sock_addr *ctx,
							 const struct mesh_addr *addr)
{
	struct bpf_sock *sk = ctx->sk;

	if (!is_daemon_end(addr, user_port(ctx)) || !sk)
		return NULL;
	return bpf_sk_storage_get(&mesh_sk, sk, NULL, 0);
}

static __always_inline int show4(struct bpf_sock_addr *ctx)
{
	struct mesh_addr addr = addr_from_v4(ctx->user_ip4);
	const struct mesh_dst *peer = shown_peer(ctx, &addr);

	if (peer && addr_is_v4(&peer->addr))
		set_user4(ctx, &peer->addr, peer->port);
	return 1;
}

static __always_inline int show6(struct bpf_sock_addr *ctx)
{
	struct mesh_addr addr = user_addr6(ctx);
	const struct mesh_dst *peer = shown_peer(ctx, &addr);

	if (peer)
		set_user6(ctx, &peer->addr, peer->port);
	return 1;
}

SEC("cgroup/recvmsg4")
int mesh_recvmsg4(struct bpf_sock_addr *ctx)
{
	return show4(ctx);
}

SEC("cgroup/recvmsg6")
int mesh_recvmsg6(struct bpf_sock_addr *ctx)
{
	return show6(ctx);
}

SEC("cgroup/getpeername4")
int mesh_getpeer4(struct bpf_sock_addr *ctx)
{
	return show4(ctx);
}

SEC("cgroup/getpeername6")
int mesh_getpeer6(struct bpf_sock_addr *ctx)
{
	return show6(ctx);
}

/* Multipath TCP connects its subflows without the connect hook, so a captured pod cannot have it:
 * the call fails and programs fall back to TCP. Fails closed. */
SEC("cgroup/sock_create")
int mesh_socket(struct bpf_sock *ctx)
{
	if (ctx->protocol != IPPROTO_MPTCP || !netns_captured(bpf_get_netns_cookie(ctx)))
		return 1;
	if (task_is_daemon())
		return 1;
	count_capture(MESH_CAPTURE_MPTCP);
	return 0;
}

/* The prober's cgroup: a probe to an enrolled pod comes from an address that the pod lets through.
 * Fails open: without the address the probe is ordinary traffic under policy. */
SEC("cgroup/connect4")
int mesh_probe4(struct bpf_sock_addr *ctx)
{
	struct mesh_addr to = addr_from_v4(ctx->user_ip4);
	const struct mesh_config *c = config();
	struct sockaddr_in from = {};

	from.sin_family = AF_INET;
	if (ctx->protocol != IPPROTO_TCP || ctx->family != AF_INET || !c || !pod_enrolled(&to))
		return 1;
	from.sin_addr = addr_word(&c->probe_v4, 3);
	bpf_bind(ctx, (struct sockaddr *)&from, sizeof(from));
	return 1;
}

SEC("cgroup/connect6")
int mesh_probe6(struct bpf_sock_addr *ctx)
{
	struct mesh_addr to = user_addr6(ctx);
	const struct mesh_config *c = config();
	const struct mesh_addr *source;
	struct sockaddr_in6 from = {};

	if (ctx->protocol != IPPROTO_TCP || !c || !pod_enrolled(&to))
		return 1;
	from.sin6_family = AF_INET6;
	source = addr_is_v4(&to) ? &c->probe_v4 : &c->probe_v6;
	from.sin6_addr[0] = addr_word(source, 0);
	from.sin6_addr[1] = addr_word(source, 1);
	from.sin6_addr[2] = addr_word(source, 2);
	from.sin6_addr[3] = addr_word(source, 3);
	bpf_bind(ctx, (struct sockaddr *)&from, sizeof(from));
	return 1;
}

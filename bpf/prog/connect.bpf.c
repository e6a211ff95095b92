// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hooks of the node's cgroup on addresses: connect, sendmsg, recvmsg, getpeername, socket.
 * Return 1 lets the call go on, 0 fails it with EPERM.
 */
#include "bpf/lib/service.h"

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

static __always_inline void count_outbound(const struct outbound *to, enum verdict verdict)
{
	if (verdict == TO_BACKEND)
		count_capture(MESH_CAPTURE_SERVICE);
	else if (to->port == MESH_PORT_DNS)
		count_capture(to->udp ? MESH_CAPTURE_DNS_UDP : MESH_CAPTURE_DNS_TCP);
	else
		count_capture(addr_is_v4(&to->addr) ? MESH_CAPTURE_OUTBOUND_V4
						    : MESH_CAPTURE_OUTBOUND_V6);
}

/* Keeps in the socket what it asked for. Fails closed: what cannot be remembered is refused. */
static __always_inline int keep_asked(struct bpf_sock *sk, const struct mesh_dst *asked)
{
	struct mesh_dst copy = *asked;
	struct mesh_dst *kept =
	    bpf_sk_storage_get(&mesh_sk, sk, &copy, BPF_SK_STORAGE_GET_F_CREATE);

	if (!kept) {
		count_refusal(MESH_REASON_LIMIT);
		return 0;
	}
	*kept = *asked;
	return 1;
}

/* Datagrams fail open: without the entry an answer is shown as coming from the pod itself. */
static __always_inline void keep_reply(struct bpf_sock_addr *ctx, const struct outbound *to,
				       const struct mesh_dst *asked)
{
	struct mesh_reply_key key = reply_key(bpf_get_socket_cookie(ctx), &to->addr, to->port);

	bpf_map_update_elem(&mesh_replies, &key, asked, BPF_ANY);
}

/* As a host without a listener does; where the kernel cannot say so, EPERM. */
static __always_inline int refuse_empty(void)
{
	count_refusal(MESH_REASON_NO_HEALTHY_ENDPOINT);
	if (mesh_retval_on)
		bpf_set_retval(-ECONNREFUSED);
	return 0;
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
	struct mesh_dst dst = {.addr = asked, .port = out.port};
	struct bpf_sock *sk = ctx->sk;
	enum verdict verdict;

	if (!is_tcp_or_udp(ctx) || !sk)
		return 1;
	out.netns_cookie = bpf_get_netns_cookie(ctx);
	out.udp = ctx->protocol == IPPROTO_UDP;
	verdict = outbound_decide(&out, bpf_get_prandom_u32());
	if (verdict == NO_BACKEND)
		return refuse_empty();
	if (verdict == LEAVE || (verdict == TO_BACKEND && out.udp)) {
		/* An earlier destination of this socket says nothing about the new one. */
		bpf_sk_storage_delete(&mesh_sk, sk);
		if (verdict == LEAVE)
			return 1;
		keep_reply(ctx, &out, &dst);
	} else {
		dst.flags = verdict == TO_BACKEND ? MESH_DST_SERVICE : 0;
		if (!keep_asked(sk, &dst))
			return 0;
	}
	count_outbound(&out, verdict);
	if (verdict == TO_DAEMON && out.udp)
		remember_dns(ctx, &out, &asked, own_port(ctx, v4));
	set_user(ctx, &out, v4);
	return 1;
}

/* A datagram without connect: the port is bound by now. A socket keeps its pod behind a service. */
static __always_inline int on_sendmsg(struct bpf_sock_addr *ctx, struct mesh_addr asked, bool v4)
{
	struct outbound out = {.addr = asked, .port = user_port(ctx), .udp = true};
	struct mesh_dst dst = {.addr = asked, .port = out.port};
	bool dns = out.port == DNS_PORT;
	struct bpf_sock *sk = ctx->sk;
	enum verdict verdict;

	if ((!dns && !mesh_services_on) || !sk)
		return 1;
	out.netns_cookie = bpf_get_netns_cookie(ctx);
	verdict = outbound_decide(&out, (bpf_get_socket_cookie(ctx) * 2654435761u) >> 16);
	if (verdict == NO_BACKEND)
		return refuse_empty();
	if (verdict == LEAVE) {
		if (dns)
			bpf_sk_storage_delete(&mesh_sk, sk);
		return 1;
	}
	if (verdict == TO_BACKEND)
		keep_reply(ctx, &out, &dst);
	else if (!keep_asked(sk, &dst))
		return 0;
	count_outbound(&out, verdict);
	if (verdict == TO_DAEMON)
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
	const struct mesh_dst *peer;
	struct mesh_reply_key key;

	if (!sk || (!mesh_services_on && !is_daemon_end(addr, user_port(ctx))))
		return NULL;
	peer = bpf_sk_storage_get(&mesh_sk, sk, NULL, 0);
	if (is_daemon_end(addr, user_port(ctx)))
		return peer;
	if (ctx->protocol != IPPROTO_UDP)
		return peer && peer->flags & MESH_DST_SERVICE ? peer : NULL;
	key = reply_key(bpf_get_socket_cookie(ctx), addr, user_port(ctx));
	return bpf_map_lookup_elem(&mesh_replies, &key);
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

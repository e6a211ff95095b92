// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCP sockets as they change state: mesh_sockops on the node's cgroup (applications),
 * mesh_daemonops on the daemon's; and SO_ORIGINAL_DST for the daemon.
 */
#include "bpf/lib/capture.h"

static __always_inline struct mesh_addr ops_local(struct bpf_sock_ops *ops)
{
	return ADDR_FROM_CTX(ops, local_ip4, local_ip6);
}

static __always_inline struct mesh_addr ops_remote(struct bpf_sock_ops *ops)
{
	return ADDR_FROM_CTX(ops, remote_ip4, remote_ip6);
}

static __always_inline __u16 ops_remote_port(struct bpf_sock_ops *ops)
{
	return bpf_ntohl(ops->remote_port);
}

/* The application's end is established before the daemon's, so the daemon always finds the entry.
 * Fails closed: without it the daemon does not know where to go and closes. */
SEC("sockops")
int mesh_sockops(struct bpf_sock_ops *ops)
{
	struct mesh_local_end key = {};
	struct bpf_sock *sk = ops->sk;
	struct mesh_addr remote;
	struct mesh_dst *asked;

	if (ops->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB || !sk)
		return 1;
	remote = ops_remote(ops);
	if (!is_daemon_end(&remote, ops_remote_port(ops)))
		return 1;
	asked = bpf_sk_storage_get(&mesh_sk, sk, NULL, 0);
	if (!asked)
		return 1;
	key.netns_cookie = bpf_get_netns_cookie(ops);
	key.addr = ops_local(ops);
	key.port = ops->local_port;
	bpf_map_update_elem(&mesh_orig_dst, &key, asked, BPF_ANY);
	return 1;
}

static __always_inline void take_original_dst(struct bpf_sock_ops *ops)
{
	struct mesh_local_end key = {};
	struct bpf_sock *sk = ops->sk;
	struct mesh_dst *asked;

	if (!sk || (ops->local_port != MESH_PORT_OUTBOUND && ops->local_port != MESH_PORT_DNS))
		return;
	key.netns_cookie = bpf_get_netns_cookie(ops);
	key.addr = ops_remote(ops);
	key.port = ops_remote_port(ops);
	asked = bpf_map_lookup_elem(&mesh_orig_dst, &key);
	if (!asked)
		return;
	bpf_sk_storage_get(&mesh_sk, sk, asked, BPF_SK_STORAGE_GET_F_CREATE);
	bpf_map_delete_elem(&mesh_orig_dst, &key);
}

/* Only namespaces in the map: a pod that is being prepared is in it, a stranger's is not. */
static __always_inline void learn_listener(struct bpf_sock_ops *ops)
{
	struct mesh_listener_key key = {.family = ops->family};

	if (ops->local_port != MESH_PORT_INBOUND_PLAINTEXT)
		return;
	key.netns_cookie = bpf_get_netns_cookie(ops);
	if (!bpf_map_lookup_elem(&mesh_netns, &key.netns_cookie))
		return;
	if (!bpf_sock_hash_update(ops, &mesh_listeners, &key, BPF_ANY))
		count_capture(MESH_CAPTURE_LISTENER);
}

static __always_inline struct mesh_guard_key guard_key(struct bpf_sock_ops *ops)
{
	struct mesh_guard_key key = {
	    .source = ops_local(ops),
	    .destination = ops_remote(ops),
	    .source_port = ops->local_port,
	    .destination_port = ops_remote_port(ops),
	};

	return key;
}

static __always_inline void guard_add(struct bpf_sock_ops *ops, const struct mesh_guard_key *key)
{
	__u8 one = 1;

	if (bpf_map_update_elem(&mesh_guard, key, &one, BPF_ANY)) {
		count_refusal(MESH_REASON_LIMIT);
		return;
	}
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* The first change of state (established, refused, timed out) ends the guard. */
static __always_inline void guard_end(struct bpf_sock_ops *ops)
{
	struct mesh_guard_key key = guard_key(ops);

	bpf_map_delete_elem(&mesh_guard, &key);
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* The daemon connects to its own pod. Other pods' policy is not skipped: their addresses belong to
 * other namespaces. */
static __always_inline void guard_daemon(struct bpf_sock_ops *ops)
{
	struct mesh_guard_key key = guard_key(ops);

	if (pod_owns(bpf_get_netns_cookie(ops), &key.destination))
		guard_add(ops, &key);
}

/* A health probe that mesh_probe4/6 gave its address. The pod lets this connection through, not
 * whoever uses that address. */
static __always_inline void guard_probe(struct bpf_sock_ops *ops)
{
	struct mesh_guard_key key = guard_key(ops);

	if (is_probe_address(&key.source) && pod_enrolled(&key.destination))
		guard_add(ops, &key);
}

/* On the daemon's cgroup only, so applications pay nothing and cannot pose as it. */
SEC("sockops")
int mesh_daemonops(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		take_original_dst(ops);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		learn_listener(ops);
		break;
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		guard_daemon(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		guard_end(ops);
		break;
	}
	return 1;
}

/* On the prober's cgroup. Fails closed: without the guard a probe is ordinary traffic under policy.
 */
SEC("sockops")
int mesh_probeops(struct bpf_sock_ops *ops)
{
	if (ops->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		guard_probe(ops);
	else if (ops->op == BPF_SOCK_OPS_STATE_CB)
		guard_end(ops);
	return 1;
}

static __always_inline int answer4(struct bpf_sockopt *ctx, const struct mesh_dst *dst)
{
	struct sockaddr_in *out = ctx->optval;

	if ((void *)(out + 1) > ctx->optval_end)
		return 0;
	out->sin_family = AF_INET;
	out->sin_port = bpf_htons(dst->port);
	out->sin_addr = addr_word(&dst->addr, 3);
	__builtin_memset(out->pad, 0, sizeof(out->pad));
	ctx->optlen = sizeof(*out);
	ctx->retval = 0;
	return 1;
}

static __always_inline int answer6(struct bpf_sockopt *ctx, const struct mesh_dst *dst)
{
	struct sockaddr_in6 *out = ctx->optval;

	if ((void *)(out + 1) > ctx->optval_end)
		return 0;
	out->sin6_family = AF_INET6;
	out->sin6_port = bpf_htons(dst->port);
	out->sin6_flowinfo = 0;
	out->sin6_addr[0] = addr_word(&dst->addr, 0);
	out->sin6_addr[1] = addr_word(&dst->addr, 1);
	out->sin6_addr[2] = addr_word(&dst->addr, 2);
	out->sin6_addr[3] = addr_word(&dst->addr, 3);
	out->sin6_scope_id = 0;
	ctx->optlen = sizeof(*out);
	ctx->retval = 0;
	return 1;
}

/* The local end of an inbound connection is what the client asked for: nothing was rewritten. */
static __always_inline bool original_dst(struct bpf_sock *sk, struct mesh_dst *dst)
{
	const struct mesh_dst *kept = bpf_sk_storage_get(&mesh_sk, sk, NULL, 0);

	if (kept) {
		*dst = *kept;
		return true;
	}
	if (sk->src_port == MESH_PORT_OUTBOUND || sk->src_port == MESH_PORT_DNS)
		return false;
	dst->addr = ADDR_FROM_CTX(sk, src_ip4, src_ip6);
	dst->port = sk->src_port;
	return true;
}

/* On the daemon's cgroup. Anything but the questions below keeps the kernel's answer. A question
 * that has no answer stays an error (ENOPROTOOPT from the kernel), and the daemon closes. */
SEC("cgroup/getsockopt")
int mesh_sockopt(struct bpf_sockopt *ctx)
{
	bool v4 = ctx->level == SOL_IP && ctx->optname == SO_ORIGINAL_DST;
	bool v6 = ctx->level == SOL_IPV6 && ctx->optname == SO_ORIGINAL_DST;
	struct bpf_sock *sk = ctx->sk;
	const struct mesh_dst *server;
	struct mesh_dst dst = {};

	if (ctx->level == MESH_SOL_DNS) {
		server = dns_server(bpf_get_netns_cookie(ctx), ctx->optname);
		if (!server)
			return 1;
		return addr_is_v4(&server->addr) ? answer4(ctx, server) : answer6(ctx, server);
	}
	if ((!v4 && !v6) || !sk || sk->protocol != IPPROTO_TCP || !original_dst(sk, &dst))
		return 1;
	/* A connection has one family; a v4-mapped one may be asked about in both ways. */
	if (v4)
		return addr_is_v4(&dst.addr) ? answer4(ctx, &dst) : 1;
	return answer6(ctx, &dst);
}

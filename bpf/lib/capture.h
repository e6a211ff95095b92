/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Outbound: what happens to a destination that a pod asks for, over plain structs.
 */
#pragma once

#include "bpf/lib/pod.h"

#define DNS_PORT 53

enum verdict {
	LEAVE, /* not ours: the destination stays */
	TO_DAEMON,
	TO_BACKEND, /* a pod behind the service that was asked for */
	NO_BACKEND, /* that service has none: refused */
};

struct outbound {
	__u64 netns_cookie;
	struct mesh_addr addr; /* asked for; after a decision where to go */
	__u16 port;
	bool udp;
};

/* Decides, and for TO_DAEMON rewrites addr and port. UDP is taken for DNS only. A pod's connections
 * to itself never are. */
static __always_inline enum verdict capture_decide(struct outbound *out)
{
	const struct mesh_netns *netns = netns_captured(out->netns_cookie);
	bool dns;

	if (!netns)
		return LEAVE;
	dns = out->port == DNS_PORT && netns->flags & MESH_NETNS_DNS;
	if (out->udp && !dns)
		return LEAVE;
	if (addr_is_loopback(&out->addr) || addr_is_any(&out->addr))
		return LEAVE;
	if (pod_owns(out->netns_cookie, &out->addr))
		return LEAVE;
	if (task_is_daemon())
		return LEAVE;
	out->addr = addr_daemon(&out->addr);
	out->port = dns ? MESH_PORT_DNS : MESH_PORT_OUTBOUND;
	return TO_DAEMON;
}

static __always_inline bool is_daemon_end(const struct mesh_addr *addr, __u16 port)
{
	return addr_is_loopback(addr) && (port == MESH_PORT_OUTBOUND || port == MESH_PORT_DNS);
}

/* Remembers the DNS server that a socket (0: one whose port is not known) asks. */
static __always_inline void dns_remember(__u64 netns_cookie, __u16 source_port,
					 const struct mesh_dst *server)
{
	struct mesh_local_end key = {.netns_cookie = netns_cookie};

	bpf_map_update_elem(&mesh_dns, &key, server, BPF_ANY);
	key.port = source_port;
	if (source_port)
		bpf_map_update_elem(&mesh_dns, &key, server, BPF_ANY);
}

static __always_inline const struct mesh_dst *dns_server(__u64 netns_cookie, __u16 source_port)
{
	struct mesh_local_end key = {.netns_cookie = netns_cookie, .port = source_port};
	const struct mesh_dst *server = bpf_map_lookup_elem(&mesh_dns, &key);

	if (server)
		return server;
	key.port = 0;
	return bpf_map_lookup_elem(&mesh_dns, &key);
}

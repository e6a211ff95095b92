/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who is who: enrolled pods and their namespaces, the daemon, the node's prober.
 */
#pragma once

#include "bpf/lib/addr.h"
#include "bpf/lib/maps.h"

/* NULL when the address is no enrolled pod of this node. */
static __always_inline const struct mesh_pod *pod_enrolled(const struct mesh_addr *addr)
{
	const struct mesh_pod *pod = bpf_map_lookup_elem(&mesh_pods, addr);

	if (!pod || !(pod->flags & MESH_POD_ENROLLED))
		return NULL;
	return pod;
}

static __always_inline bool pod_owns(__u64 netns_cookie, const struct mesh_addr *addr)
{
	const struct mesh_pod *pod = pod_enrolled(addr);

	return pod && pod->netns_cookie == netns_cookie;
}

/* NULL when the namespace belongs to no pod whose traffic is taken. */
static __always_inline const struct mesh_netns *netns_captured(__u64 cookie)
{
	const struct mesh_netns *netns = bpf_map_lookup_elem(&mesh_netns, &cookie);

	if (!netns || !(netns->flags & MESH_NETNS_CAPTURE))
		return NULL;
	return netns;
}

static __always_inline const struct mesh_config *config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&mesh_config, &zero);
}

/* The source of the node's own health probes. Not a permission: anybody in the node's namespace may
 * bind it. */
static __always_inline bool is_probe_address(const struct mesh_addr *addr)
{
	const struct mesh_config *c = config();

	return c && !addr_is_any(addr) &&
	       (addr_equal(addr, &c->probe_v4) || addr_equal(addr, &c->probe_v6));
}

/* Whether the running task is the daemon. By cgroup, never by mark: a pod may set marks with the
 * capabilities that it has by default. */
static __always_inline bool task_is_daemon(void)
{
	const struct mesh_config *c = config();

	if (!c || !c->exempt_cgroup_id)
		return false;
	return bpf_get_current_ancestor_cgroup_id(c->exempt_level) == c->exempt_cgroup_id;
}

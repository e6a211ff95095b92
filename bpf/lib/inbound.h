/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inbound: what happens to a connection that reaches a pod's namespace, over plain structs.
 */
#pragma once

#include "bpf/lib/pod.h"

struct inbound {
	struct mesh_addr source;
	struct mesh_addr destination;
	__u16 source_port;
	__u16 destination_port;
	bool udp;
};

enum inbound_kind {
	INBOUND_LEAVE,	/* to whoever listens */
	INBOUND_REFUSE, /* `reason` says why */
	INBOUND_DAEMON, /* to the daemon's listener in `netns_cookie` */
};

struct inbound_verdict {
	enum inbound_kind kind;
	__u32 reason; /* enum mesh_reason */
	__u64 netns_cookie;
};

static __always_inline struct inbound_verdict inbound_refuse(__u32 reason)
{
	struct inbound_verdict v = {.kind = INBOUND_REFUSE, .reason = reason};

	return v;
}

/* The daemon listens on loopback ports that nobody outside the pod has business with. */
static __always_inline bool is_inner_port(__u16 port)
{
	return port == MESH_PORT_OUTBOUND || port == MESH_PORT_INBOUND_PLAINTEXT ||
	       port == MESH_PORT_DNS;
}

static __always_inline bool is_guarded(const struct inbound *in)
{
	struct mesh_guard_key key = {
	    .source = in->source,
	    .destination = in->destination,
	    .source_port = in->source_port,
	    .destination_port = in->destination_port,
	};

	return bpf_map_lookup_elem(&mesh_guard, &key);
}

static __always_inline struct inbound_verdict inbound_decide(const struct inbound *in)
{
	struct inbound_verdict v = {.kind = INBOUND_LEAVE};
	const struct mesh_pod *pod;

	if (addr_is_loopback(&in->destination))
		return v;
	pod = pod_enrolled(&in->destination);
	if (in->udp) {
		if (pod && in->destination_port == MESH_PORT_DNS)
			return inbound_refuse(MESH_REASON_ILLEGAL_PORT);
		return v;
	}
	/* The pod speaking to itself. From the wire the kernel drops such packets, or the answer
	 * goes to the pod itself, so nobody completes a handshake this way. */
	if (addr_is_loopback(&in->source) || addr_equal(&in->source, &in->destination))
		return v;
	/* The agent has put every address of the pod into mesh_pods before this program was
	 * attached, so this one is new (or on lo). Nobody may find a way around the policy there:
	 * it is refused until the agent has learned it. */
	if (!pod)
		return inbound_refuse(MESH_REASON_UNKNOWN_DESTINATION);
	if (is_guarded(in)) {
		count_capture(is_probe_address(&in->source) ? MESH_CAPTURE_PROBE
							    : MESH_CAPTURE_GUARDED);
		return v;
	}
	if (in->destination_port == MESH_PORT_HBONE)
		return v;
	if (is_inner_port(in->destination_port))
		return inbound_refuse(MESH_REASON_ILLEGAL_PORT);
	if (pod->flags & MESH_POD_BYPASS_INBOUND)
		return v;
	if (pod->flags & MESH_POD_STRICT)
		return inbound_refuse(MESH_REASON_STRICT_PLAINTEXT);
	v.kind = INBOUND_DAEMON;
	v.netns_cookie = pod->netns_cookie;
	return v;
}

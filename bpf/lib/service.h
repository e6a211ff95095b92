/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Service addresses, on nodes where no kube-proxy stands behind them: what is not captured goes to
 * a pod behind the service, chosen when the socket connects or sends. Over plain structs.
 */
#pragma once

#include "bpf/lib/capture.h"

/* Set before loading. 0 on a Kubernetes node: kube-proxy, or what stands in for it, does this. */
const volatile __u8 mesh_services_on = 0;
/* Whether the kernel (5.18 and later) lets a program say with which error a call fails. */
const volatile __u8 mesh_retval_on = 0;

enum service_verdict {
	SERVICE_NONE,	 /* not the address of a service */
	SERVICE_EMPTY,	 /* nobody is ready behind it */
	SERVICE_BACKEND, /* addr and port are rewritten */
};

/* `pick` decides which backend: a random number, or one that stays the same for a socket. */
static __always_inline enum service_verdict service_decide(struct outbound *out, __u32 pick)
{
	struct mesh_service_key key = {
	    .addr = out->addr,
	    .port = out->port,
	    .protocol = out->udp ? IPPROTO_UDP : IPPROTO_TCP,
	};
	const struct mesh_service *service = bpf_map_lookup_elem(&mesh_services, &key);
	__u64 i;

	if (!service)
		return SERVICE_NONE;
	if (!service->count)
		return SERVICE_EMPTY;
	/* All 64 bits are compared: "math between map_value pointer and register with unbounded min
	 * value is not allowed" (seen on 6.18). */
	i = pick % service->count;
	READ_HERE(i);
	if (i >= MESH_SERVICE_BACKENDS)
		return SERVICE_EMPTY;
	out->addr = service->backends[i].addr;
	out->port = service->backends[i].port;
	return SERVICE_BACKEND;
}

/* Where a socket of user space goes: captured pods' connections to the daemon, else through the
 * service. The daemon's own are left alone: what it does not know as a service yet must not leave
 * as plain text. */
static __always_inline enum verdict outbound_decide(struct outbound *out, __u32 pick)
{
	enum verdict verdict = capture_decide(out);

	if (verdict != LEAVE || !mesh_services_on || task_is_daemon())
		return verdict;
	switch (service_decide(out, pick)) {
	case SERVICE_BACKEND:
		return TO_BACKEND;
	case SERVICE_EMPTY:
		return NO_BACKEND;
	default:
		return LEAVE;
	}
}

/* A datagram socket may speak to many, so answers are told apart by who sends them. */
static __always_inline struct mesh_reply_key reply_key(__u64 socket, const struct mesh_addr *addr,
						       __u16 port)
{
	struct mesh_reply_key key = {.socket_cookie = socket, .addr = *addr, .port = port};

	return key;
}

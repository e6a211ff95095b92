/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Everything that the kernel's programs and user space share: keys and values of maps, flags, ports and
 * the one list of reasons. IPv4 is stored v4-mapped, so there is one map and one code path.
 * Integers are in host order unless the name ends in _be.
 */
#pragma once

#ifdef __cplusplus
#include <linux/types.h>
#define MESH_ABI_SIZE(type, size) static_assert(sizeof(type) == (size), #type)
#else
#define MESH_ABI_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#endif

/* Why a connection was refused or ended. One list makes the enum, the log's word, the metric's label
 * and what meshctl explains: X(NAME, "label", "explanation"). Append only. */
#define MESH_REASONS(X)                                                                              \
	X(NONE, "none", "no error")                                                                      \
	X(POLICY_DENY, "policy_deny", "an AuthorizationPolicy does not allow it")                        \
	X(STRICT_PLAINTEXT, "strict_plaintext", "plain text to a pod that accepts mutual TLS only")      \
	X(DAEMON_ABSENT, "daemon_absent", "ztunnel is not listening in this pod")                        \
	X(UNKNOWN_SOURCE, "unknown_source", "the pod is not known to the mesh yet")                      \
	X(UNKNOWN_DESTINATION, "unknown_destination", "the destination named in the tunnel is unknown")  \
	X(NO_HEALTHY_ENDPOINT, "no_healthy_endpoint", "the service has no endpoint that may be used")    \
	X(NO_HEALTHY_WAYPOINT, "no_healthy_waypoint", "the service needs a waypoint and none is ready")  \
	X(SERVICE_PORT_UNKNOWN, "service_port_unknown", "the service does not have that port")           \
	X(CONNECT_REFUSED, "connect_refused", "nobody listens at the destination")                       \
	X(CONNECT_TIMEOUT, "connect_timeout", "the destination did not answer in time")                  \
	X(CONNECT_UNREACHABLE, "connect_unreachable", "there is no way to the destination")              \
	X(TUNNEL_BLOCKED, "tunnel_blocked", "port 15008 does not answer; a NetworkPolicy may block it")  \
	X(TLS_FAILURE, "tls_failure", "the TLS handshake failed")                                        \
	X(IDENTITY_MISMATCH, "identity_mismatch", "the peer's certificate is not the expected one")      \
	X(NO_CERTIFICATE, "no_certificate", "no certificate could be obtained for this workload")        \
	X(H2_FAILURE, "h2_failure", "the tunnel's HTTP/2 connection failed")                             \
	X(TUNNEL_REFUSED, "tunnel_refused", "the far end refused the tunnel")                            \
	X(BAD_REQUEST, "bad_request", "the tunnel request is malformed or names another pod")            \
	X(ILLEGAL_PORT, "illegal_port", "the port belongs to the mesh itself")                           \
	X(LOOP, "loop", "the connection would come back to where it started")                            \
	X(PEER_RESET, "peer_reset", "one side reset the connection")                                     \
	X(DRAINED, "drained", "the proxy was draining and the deadline passed")                          \
	X(WORKLOAD_REMOVED, "workload_removed", "the workload left the mesh or the node")                \
	X(LIMIT, "limit", "a limit of the proxy was reached")                                            \
	X(L7_NOT_ENFORCEABLE, "l7_not_enforceable", "the policy has L7 fields and no waypoint enforces them") \
	X(INTERNAL, "internal", "a bug: please report it")

enum mesh_reason {
#define X(name, label, text) MESH_REASON_##name,
	MESH_REASONS(X)
#undef X
	MESH_REASON_COUNT
};

/* Ports of the node proxy inside each pod's network namespace. */
enum {
	MESH_PORT_OUTBOUND = 15001,
	MESH_PORT_INBOUND_PLAINTEXT = 15006,
	MESH_PORT_HBONE = 15008,
	MESH_PORT_DNS = 15053,
};

/* Mark of the node proxy's sockets that use a foreign source address, and of nothing else; it steers
 * routing inside the pod and exempts nobody from capture. */
enum { MESH_ORIG_SRC_MARK = 0x539 };

struct mesh_addr {
	__u8 bytes[16]; /* network order; IPv4 v4-mapped */
};
MESH_ABI_SIZE(struct mesh_addr, 16);

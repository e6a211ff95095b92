/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Everything that the kernel's programs and user space share: keys and values of maps, flags, ports
 * and the one list of reasons. IPv4 is stored v4-mapped, so there is one map and one code path.
 * Integers are in host order unless the name ends in _be.
 */
#pragma once

#ifdef __cplusplus
#include <linux/types.h>
#define MESH_ABI_SIZE(type, size) static_assert(sizeof(type) == (size), #type)
#else
#define MESH_ABI_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#endif

/* Why a connection was refused or ended. One list makes the enum, the log's word, the metric's
 * label and what meshctl explains: X(NAME, "label", "explanation"). Append only. */
#define MESH_REASONS(X)                                                                            \
	X(NONE, "none", "no error")                                                                \
	X(POLICY_DENY, "policy_deny", "an AuthorizationPolicy does not allow it")                  \
	X(STRICT_PLAINTEXT, "strict_plaintext",                                                    \
	  "plain text to a pod that accepts mutual TLS only")                                      \
	X(DAEMON_ABSENT, "daemon_absent", "ztunnel is not listening in this pod")                  \
	X(UNKNOWN_SOURCE, "unknown_source", "the pod is not known to the mesh yet")                \
	X(UNKNOWN_DESTINATION, "unknown_destination",                                              \
	  "the destination named in the tunnel is unknown")                                        \
	X(NO_HEALTHY_ENDPOINT, "no_healthy_endpoint",                                              \
	  "the service has no endpoint that may be used")                                          \
	X(NO_HEALTHY_WAYPOINT, "no_healthy_waypoint",                                              \
	  "the service needs a waypoint and none is ready")                                        \
	X(SERVICE_PORT_UNKNOWN, "service_port_unknown", "the service does not have that port")     \
	X(CONNECT_REFUSED, "connect_refused", "nobody listens at the destination")                 \
	X(CONNECT_TIMEOUT, "connect_timeout", "the destination did not answer in time")            \
	X(CONNECT_UNREACHABLE, "connect_unreachable", "there is no way to the destination")        \
	X(TUNNEL_BLOCKED, "tunnel_blocked",                                                        \
	  "port 15008 does not answer; a NetworkPolicy may block it")                              \
	X(TLS_FAILURE, "tls_failure", "the TLS handshake failed")                                  \
	X(IDENTITY_MISMATCH, "identity_mismatch",                                                  \
	  "the peer's certificate is not the expected one")                                        \
	X(CERT_REVOKED, "cert_revoked", "a revocation list names the peer's certificate")          \
	X(NO_CERTIFICATE, "no_certificate", "no certificate could be obtained for this workload")  \
	X(H2_FAILURE, "h2_failure", "the tunnel's HTTP/2 connection failed")                       \
	X(TUNNEL_REFUSED, "tunnel_refused", "the far end refused the tunnel")                      \
	X(BAD_REQUEST, "bad_request", "the tunnel request is malformed or names another pod")      \
	X(ILLEGAL_PORT, "illegal_port", "the port belongs to the mesh itself")                     \
	X(LOOP, "loop", "the connection would come back to where it started")                      \
	X(PEER_RESET, "peer_reset", "one side reset the connection")                               \
	X(DRAINED, "drained", "the proxy was draining and the deadline passed")                    \
	X(WORKLOAD_REMOVED, "workload_removed", "the workload left the mesh or the node")          \
	X(LIMIT, "limit", "a limit of the proxy was reached")                                      \
	X(L7_NOT_ENFORCEABLE, "l7_not_enforceable",                                                \
	  "the policy has L7 fields and no waypoint enforces them")                                \
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

/* Mark of the node proxy's sockets that use a foreign source address, and of nothing else; it
 * steers routing inside the pod and exempts nobody from capture. */
enum { MESH_ORIG_SRC_MARK = 0x539 };

struct mesh_addr {
	__u8 bytes[16];	       /* network order; IPv4 v4-mapped */
} __attribute__((aligned(4))); /* read by words */
MESH_ABI_SIZE(struct mesh_addr, 16);

/* ---- Maps. Each name is the map's name in bpftool and its pin's name under <bpf-dir>/v1/. ---- */

/* mesh_pods: address -> pod. Written by the agent; read by every hook. */
enum {
	MESH_POD_ENROLLED = 1u << 0, /* traffic to this address belongs to the mesh */
	MESH_POD_STRICT =
	    1u << 1, /* mutual TLS only, with no exception: plain text ends at the SYN */
	MESH_POD_BYPASS_INBOUND =
	    1u << 2, /* inbound is left alone (a gateway that faces the outside) */
};

struct mesh_pod {
	__u64 netns_cookie;
	__u32 flags; /* MESH_POD_* */
	__u32 reserved;
};
MESH_ABI_SIZE(struct mesh_pod, 16);

/* mesh_netns: cookie of a pod's network namespace -> how its outbound is treated. Written by the
 * agent. An entry without CAPTURE is a pod in preparation: the daemon's listeners are learned
 * already, the pod's own connections are still left alone. */
enum {
	MESH_NETNS_CAPTURE = 1u << 0,
	MESH_NETNS_DNS = 1u << 1, /* port 53 goes to the daemon's DNS listener */
};

struct mesh_netns {
	__u32 flags; /* MESH_NETNS_* */
	__u32 reserved;
};
MESH_ABI_SIZE(struct mesh_netns, 8);

/* What the application asked for. In socket storage (mesh_sk) of its socket, and of the socket that
 * the daemon accepted for it. */
enum {
	MESH_DST_SERVICE = 1u << 0, /* the connection goes to a pod behind it, not to the daemon */
};

struct mesh_dst {
	struct mesh_addr addr;
	__u16 port;
	__u16 flags; /* MESH_DST_* */
	__u16 reserved[2];
};
MESH_ABI_SIZE(struct mesh_dst, 24);

/* mesh_orig_dst: a captured connection on its way from the application's socket to the daemon's.
 * Written when the application's end is established, moved into the daemon's socket storage when
 * that end is, so an entry lives for microseconds. */
struct mesh_local_end {
	__u64 netns_cookie;
	struct mesh_addr addr; /* zero in mesh_dns: there the port alone names the socket */
	__u16 port;	       /* 0 in mesh_dns: the server that this namespace asked last */
	__u16 reserved[3];
};
MESH_ABI_SIZE(struct mesh_local_end, 32);

/* mesh_guard: connections that go straight to the application: from the daemon to its own pod, and
 * the node's health probes. From the SYN to the first change of state. */
struct mesh_guard_key {
	struct mesh_addr source;
	struct mesh_addr destination;
	__u16 source_port;
	__u16 destination_port;
	__u32 reserved;
};
MESH_ABI_SIZE(struct mesh_guard_key, 40);

/* mesh_listeners: SOCKHASH of the daemon's plain-text inbound listeners. An AF_INET6 listener that
 * is not v6-only serves both families. */
struct mesh_listener_key {
	__u64 netns_cookie;
	__u32 family; /* AF_INET or AF_INET6 */
	__u32 reserved;
};
MESH_ABI_SIZE(struct mesh_listener_key, 16);

/* mesh_config: one element. Written by the agent, also while the programs run. */
struct mesh_config {
	__u64 exempt_cgroup_id; /* tasks in this cgroup or below are the daemon; 0: nobody is */
	__u32 exempt_level;	/* depth of that cgroup below the root */
	__u32 reserved;
	struct mesh_addr probe_v4; /* source of the node's own health probes */
	struct mesh_addr probe_v6;
};
MESH_ABI_SIZE(struct mesh_config, 48);

/* mesh_services: a port of a service's address -> who is ready behind it. Written by the agent, and
 * only where no kube-proxy does this (local mode); entries are replaced whole. */
enum { MESH_SERVICE_BACKENDS = 128 };

struct mesh_service_key {
	struct mesh_addr addr;
	__u16 port;
	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 reserved;
};
MESH_ABI_SIZE(struct mesh_service_key, 20);

struct mesh_backend {
	struct mesh_addr addr;
	__u16 port;
	__u16 reserved;
};
MESH_ABI_SIZE(struct mesh_backend, 20);

struct mesh_service {
	__u32 count; /* 0: nobody, connections are refused */
	struct mesh_backend backends[MESH_SERVICE_BACKENDS];
};
MESH_ABI_SIZE(struct mesh_service, 4 + 20 * MESH_SERVICE_BACKENDS);

/* mesh_replies: whom a datagram socket was sent to by mesh_services -> what it had asked for. */
struct mesh_reply_key {
	__u64 socket_cookie;
	struct mesh_addr addr;
	__u16 port;
	__u16 reserved[3];
};
MESH_ABI_SIZE(struct mesh_reply_key, 32);

/* mesh_refusals: per-CPU __u64 by enum mesh_reason. mesh_captures: per-CPU __u64 by enum
 * mesh_capture. */
#define MESH_CAPTURES(X)                                                                           \
	X(OUTBOUND_V4, "outbound_v4", "connections taken to the daemon over IPv4")                 \
	X(OUTBOUND_V6, "outbound_v6", "connections taken to the daemon over IPv6")                 \
	X(DNS_TCP, "dns_tcp", "DNS connections taken to the daemon")                               \
	X(DNS_UDP, "dns_udp", "DNS questions (or sockets connected for them) taken to the daemon") \
	X(INBOUND, "inbound", "plain-text connections handed to the daemon")                       \
	X(PROBE, "probe", "health probes let through")                                             \
	X(GUARDED, "guarded", "the daemon's connections to its own pod")                           \
	X(LISTENER, "listener", "listeners of the daemon learned")                                 \
	X(MPTCP, "mptcp", "multipath sockets refused, so that programs fall back to TCP")          \
	X(SERVICE, "service",                                                                      \
	  "connections and datagrams to a service, sent to a pod behind it without the daemon")

enum mesh_capture {
#define X(name, label, text) MESH_CAPTURE_##name,
	MESH_CAPTURES(X)
#undef X
	    MESH_CAPTURE_COUNT
};

/* Which DNS server the application asked. The daemon asks with getsockopt on its UDP socket of that
 * pod:
 *
 *   struct sockaddr_storage out; socklen_t len = sizeof(out);
 *   getsockopt(fd, MESH_SOL_DNS, client_port, &out, &len)
 *
 * where client_port is the source port (host order) of the question. The answer is a sockaddr_in,
 * or a sockaddr_in6 for an IPv6 server; the server that this pod asked last when that port is not
 * known. An error (the kernel's own, ENOPROTOOPT or EOPNOTSUPP) when it asked none, or without the
 * programs. For TCP, SO_ORIGINAL_DST tells it. (The kernel hands such a program no bytes of the
 * caller's buffer, hence the port in the place of the option's name.) */
enum { MESH_SOL_DNS = 0x4d53 };

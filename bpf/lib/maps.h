/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every map of the node. What a full map means is said beside it; no limit lets plain text out.
 */
#pragma once

#include "bpf/include/vmlinux.h"
#include "bpf/include/mesh_abi.h"

/* Full: the agent fails to enrol the next pod, which then does not start. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct mesh_addr);
	__type(value, struct mesh_pod);
} mesh_pods SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct mesh_netns);
} mesh_netns SEC(".maps");

/* Bounded by the sockets themselves. No memory: the connect is refused. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct mesh_dst);
} mesh_sk SEC(".maps");

/* Full: the oldest connection under way loses its entry; the daemon does not learn its destination
 * and closes it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct mesh_local_end);
	__type(value, struct mesh_dst);
} mesh_orig_dst SEC(".maps");

/* Full: the daemon's connection to its pod is handed to the daemon once more, which tries again; it
 * gets through when there is room. Counted as MESH_REASON_LIMIT. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct mesh_guard_key);
	__type(value, __u8);
} mesh_guard SEC(".maps");

/* Full: inbound plain text of the next pods is refused as daemon_absent. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 8192);
	__type(key, struct mesh_listener_key);
	__type(value, __u64);
} mesh_listeners SEC(".maps");

/* Full: for the oldest questions the server asked last by that pod is taken instead. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct mesh_local_end);
	__type(value, struct mesh_dst);
} mesh_dns SEC(".maps");

/* Empty on nodes that have kube-proxy. Full: the agent says so, and the services that found no room
 * stay out of reach for who is not captured. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, struct mesh_service_key);
	__type(value, struct mesh_service);
} mesh_services SEC(".maps");

/* Full: the answer to the oldest question comes from the pod that gives it, not from the service.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct mesh_reply_key);
	__type(value, struct mesh_dst);
} mesh_replies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mesh_config);
} mesh_config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MESH_REASON_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} mesh_refusals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MESH_CAPTURE_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} mesh_captures SEC(".maps");

static __always_inline void count_capture(__u32 what)
{
	__u64 *n = bpf_map_lookup_elem(&mesh_captures, &what);

	if (n)
		(*n)++;
}

static __always_inline void count_refusal(__u32 reason)
{
	__u64 *n = bpf_map_lookup_elem(&mesh_refusals, &reason);

	if (n)
		(*n)++;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The choice of a backend, as programs that the kernel runs (BPF_PROG_TEST_RUN); service_test.cc
 * fills the map. Each answers with the backend's port, 0 for nobody ready, -1 for no service.
 */
#include "bpf/lib/service.h"

/* The packet says what to ask: address, port, protocol, and the pick. */
struct question {
  struct mesh_addr addr;
  __u16 port;
  __u16 udp;
  __u32 pick;
};

SEC("tc")
int service_choice(struct __sk_buff* skb) {
  struct outbound out = {};
  struct question q;

  if (bpf_skb_load_bytes(skb, 14, &q, sizeof(q))) return -2;
  out.addr = q.addr;
  out.port = q.port;
  out.udp = q.udp;
  switch (service_decide(&out, q.pick)) {
    case SERVICE_BACKEND:
      return out.port;
    case SERVICE_EMPTY:
      return 0;
    default:
      return addr_equal(&out.addr, &q.addr) && out.port == q.port ? -1 : -3;
  }
}

char LICENSE[] SEC("license") = "GPL";

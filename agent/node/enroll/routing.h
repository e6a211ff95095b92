// Routing that lets the node proxy use a client's address as its source inside a pod.
//
// A packet that carries the proxy's mark is local, whatever its address says: a rule (priority
// 32764, mark 0x539 of 0xfff) leads to table 100, where everything is local to lo. The reply of the
// pod's application inherits the mark from the SYN (tcp_fwmark_accept), its resets do by
// fwmark_reflect, and so both come back to the proxy. With tcp_migrate_req, connections that a
// proxy which ends has not accepted yet go to its successor's listener.
//
// Removing takes away the rule and the route, without which the marks mean nothing. The settings
// stay: they may be what the cluster's network wants as well.
//
// Thread: any; each call enters the namespace for its own length. Each is idempotent.
#pragma once

#include <absl/status/statusor.h>

#include <vector>

#include "ztunnel/base/ip.h"
#include "ztunnel/base/netns.h"

namespace mesh::node {

// Without IPv6 in the namespace, IPv4 alone.
absl::Status AddSourceRouting(const Netns& netns);
absl::Status RemoveSourceRouting(const Netns& netns);

// Every address of the namespace's interfaces but lo's, link-local ones too.
absl::StatusOr<std::vector<IpAddress>> AddressesOf(const Netns& netns);

// A host address on lo of the calling thread's namespace: the source of health probes.
absl::Status AddLoopbackAddress(const IpAddress& ip);
absl::Status RemoveLoopbackAddress(const IpAddress& ip);

}  // namespace mesh::node

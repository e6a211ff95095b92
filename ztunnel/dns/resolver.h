// Which names the mesh itself answers, and with what: services and the pods behind them, as a
// client in one namespace may see them. A pure function of a snapshot; everything it does not know
// is forwarded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/base/ip.h"
#include "ztunnel/core/state/mesh_state.h"

namespace mesh::dns {

struct ResolverConfig {
  std::string cluster_id = "Kubernetes";  // of the clients
  std::string cluster_domain = "cluster.local";
  bool ipv6 = true;                 // false: AAAA answers are empty
  std::string preferred_namespace;  // breaks a tie between services of one hostname
};

struct Resolution {
  bool known = false;  // false: forward
  // The name that was meant, when a search domain had to be taken off to find it.
  std::string cname;
  std::vector<IpAddress> addresses;  // of the asked family, in no particular order; may be empty
  std::string domain;                // what matched, for the log
};

// `name` is lower case without final dot; `type` is kTypeA or kTypeAaaa.
//
// Tried in order: the name as it is, expanded by its number of labels (name, name.namespace,
// name.namespace.svc), then with each search domain taken off and expanded again; for each of these
// the exact name, the per-pod name of a headless service, then wildcards, longest first.
Resolution Resolve(const state::MeshState& mesh, const state::Workload& client,
                   std::string_view name, uint16_t type, const ResolverConfig& config);

}  // namespace mesh::dns

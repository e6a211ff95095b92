// Which mode a workload's port is in, from the PeerAuthentications that apply to it: port,
// workload, namespace, mesh, else PERMISSIVE; UNSET falls through; of several at one level the
// oldest counts. A pure function over the objects, so that the controller and the node agent agree.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/k8s/labels.h"
#include "proto/api/istio_security.pb.h"

namespace mesh::k8s {

using PeerAuthenticationRef = std::shared_ptr<const api::PeerAuthentication>;

struct EffectivePeerAuthentication {
  bool strict = false;             // of ports without an entry
  std::map<uint32_t, bool> ports;  // exceptions alone: port -> strict
  // The workload's own policy when its port entries count; null otherwise.
  const api::PeerAuthentication* workload = nullptr;

  bool StrictFor(uint32_t port) const {
    const auto it = ports.find(port);
    return it == ports.end() ? strict : it->second;
  }
};

// The levels of one namespace, without regard to workloads.
struct PeerAuthenticationParent {
  bool strict = false;
};

// `all` may hold objects of any namespace. Pointers in the answer live as long as `all`'s objects.
EffectivePeerAuthentication EffectiveFor(const std::vector<PeerAuthenticationRef>& all,
                                         const std::string& root_namespace, const std::string& ns,
                                         const Labels& labels);

PeerAuthenticationParent ParentFor(const std::vector<PeerAuthenticationRef>& all,
                                   const std::string& root_namespace, const std::string& ns);

}  // namespace mesh::k8s

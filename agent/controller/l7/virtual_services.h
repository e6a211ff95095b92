// VirtualServices: which apply to a service.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/l7/directory.h"
#include "agent/controller/l7/names.h"
#include "proto/api/istio_traffic.pb.h"

namespace mesh::controller {

using VirtualServiceRef = std::shared_ptr<const api::VirtualService>;

class VirtualServices {
 public:
  VirtualServices(std::vector<VirtualServiceRef> all, const Settings& settings);

  // Rules of these namespaces for the service: those with the most specific of the hosts that cover
  // it, the oldest first.
  std::vector<VirtualServiceRef> For(const L7Service& service,
                                     const std::set<std::string>& namespaces,
                                     const std::string& client_ns) const;
  // Namespaces that have a rule for the service.
  std::set<std::string> NamespacesFor(const L7Service& service) const;

  // What a rule of `root_ns` delegates to. Null: there is none, or it is not for that namespace.
  VirtualServiceRef Delegated(const api::Delegate& delegate, const std::string& root_ns) const;

  const std::vector<VirtualServiceRef>& all() const { return all_; }

 private:
  // How specific the best of the rule's hosts is; 0: none covers the service.
  size_t Covers(const api::VirtualService& rule, const L7Service& service) const;

  const Settings& settings_;
  std::vector<VirtualServiceRef> all_;  // bound to the mesh and no delegate; by age
  std::map<std::pair<std::string, std::string>, VirtualServiceRef> delegates_;  // by ns and name
};

// Delegates have no hosts and are for other rules alone.
inline bool IsDelegate(const api::VirtualService& rule) { return rule.spec().hosts().empty(); }

}  // namespace mesh::controller

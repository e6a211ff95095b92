// Services and who stands behind them, kept from a Source's events: the pods that a selector finds,
// and the endpoints of slices. For whoever plays kube-proxy or the cluster's name server where
// there is none.
//
// Owner: whoever feeds it. Thread: one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/k8s/source.h"
#include "ztunnel/base/ip.h"

namespace mesh::k8s {

// A port of the service and where it is on this endpoint.
struct PortTarget {
  std::string name;  // of the service's port; may be empty
  uint16_t port = 0;
  bool udp = false;
  uint16_t target = 0;
  auto operator<=>(const PortTarget&) const = default;
};

struct ServiceEndpoint {
  std::vector<IpAddress> addresses;  // of one pod; or one address of a slice
  bool ready = false;
  std::string node;      // empty when unknown
  std::string hostname;  // a name of its own below the service's; empty: none
  std::vector<PortTarget> ports;
};

class ServiceCatalog {
 public:
  using ServiceRef = std::shared_ptr<const api::Service>;

  // True when something that services hang on changed.
  bool Apply(const std::vector<Event>& events);

  const std::map<Key, ServiceRef>& services() const { return services_; }
  const api::Service* Find(const std::string& ns, const std::string& name) const;
  // Those that are ending are not among them. Services of type ExternalName have none.
  std::vector<ServiceEndpoint> EndpointsOf(const api::Service& service) const;

 private:
  std::map<Key, ServiceRef> services_;
  std::map<Key, std::shared_ptr<const api::Pod>> pods_;
  std::map<Key, std::shared_ptr<const api::EndpointSlice>> slices_;
};

// The addresses of the service itself; none when it is headless.
std::vector<IpAddress> ClusterIps(const api::Service& service);

}  // namespace mesh::k8s

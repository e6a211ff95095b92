// What the cluster's name server says of a name: services and the pods behind them, as CoreDNS
// does. A pure function of the catalog.
//
//   SERVICE.NS.svc.cluster.local           its addresses; headless: those of all that are ready
//   HOSTNAME.SERVICE.NS.svc.cluster.local  one endpoint, by host name or as 10-244-1-2
//   10-244-1-2.NS.pod.cluster.local        that address
#pragma once

#include <string>
#include <string_view>

#include "agent/k8s/service_catalog.h"
#include "ztunnel/base/dns/message.h"

namespace mesh::local {

struct ZoneAnswer {
  bool forward = false;  // not a name of the cluster
  dns::Answer answer = {};
};

class Zone {
 public:
  // `catalog` outlives the zone.
  explicit Zone(const k8s::ServiceCatalog& catalog) : catalog_(catalog) {}

  // `name` is lower case without final dot. A name that exists without addresses of the asked type
  // has an empty answer. Names of one label and reverse names of the cluster's addresses are nobody
  // else's either: they do not exist.
  ZoneAnswer Resolve(std::string_view name, uint16_t type) const;

 private:
  dns::Answer OfService(const std::string& ns, const std::string& name) const;
  dns::Answer OfEndpoint(const std::string& ns, const std::string& service,
                         const std::string& host) const;
  dns::Answer OfExternalName(const std::string& target) const;

  const k8s::ServiceCatalog& catalog_;
};

}  // namespace mesh::local

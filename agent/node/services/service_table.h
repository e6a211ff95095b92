// What kube-proxy would know, for nodes that have none: each port of each service's address, and
// who is ready behind it. A pure function of the catalog.
#pragma once

#include <string>

#include "agent/k8s/service_catalog.h"
#include "agent/node/service.h"

namespace mesh::node {

// `node` is where the clients are, for internalTrafficPolicy Local.
ServiceTable BuildServiceTable(const k8s::ServiceCatalog& catalog, const std::string& node);

}  // namespace mesh::node

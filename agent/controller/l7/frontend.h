// A service behind a waypoint and the rules for it -> mesh.l7.v1.Frontend, one for each port.
//
// The service's own rules are those of its namespace and of its waypoint's. Rules that another
// namespace has for the service hold for its own clients alone, before the service's and instead of
// them.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "agent/controller/l7/http_route.h"
#include "agent/controller/l7/virtual_services.h"

namespace mesh::controller {

struct FrontendSources {
  const Settings& settings;
  const L7Directory& directory;
  const VirtualServices& virtual_services;
  const DestinationRules& destination_rules;
  std::set<ClusterRef>& clusters;     // added: all that routes name
  std::set<std::string>& label_keys;  // added: what sourceLabels ask for
};

// `service` has a waypoint.
std::vector<mesh::l7::v1::Frontend> TranslateFrontends(const L7Service& service,
                                                       const FrontendSources& sources);

}  // namespace mesh::controller

// A service port (or subset) and its DestinationRule -> mesh.l7.v1.Cluster.
#pragma once

#include "agent/controller/l7/destination_rules.h"
#include "proto/l7_cluster.pb.h"

namespace mesh::controller {

// Null `rule`: the defaults. A subset that the rule does not have gives nothing.
std::optional<mesh::l7::v1::Cluster> TranslateCluster(const L7Service& service, const L7Port& port,
                                                      const std::string& subset,
                                                      const MergedRule* rule);

}  // namespace mesh::controller

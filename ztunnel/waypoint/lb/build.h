// Makes clusters out of configuration and the state of the mesh.
#pragma once

#include <functional>

#include "ztunnel/core/state/mesh_state.h"
#include "ztunnel/waypoint/lb/cluster.h"

namespace mesh::lb {

using Labels = std::map<std::string, std::string>;
// The labels of a workload, by its uid; null: none are known.
using LabelsOf = std::function<const Labels*(std::string_view uid)>;

// `previous` (may be null) is the cluster of that name in the snapshot before: what it counted goes
// on for the endpoints that stay. Endpoints on other networks are left out.
ClusterRef BuildCluster(std::string name, const ClusterOptions& options,
                        const state::MeshState& state, const LabelsOf& labels,
                        const Cluster* previous, absl::Time now);

// The cluster of one workload alone, for traffic that named it by its address.
ClusterRef WorkloadCluster(const state::WorkloadRef& workload, const SocketAddress& address);

}  // namespace mesh::lb

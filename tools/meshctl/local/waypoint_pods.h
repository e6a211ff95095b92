// Pods of waypoints in local mode: for every Gateway of the waypoint class what its Deployment
// would be in a cluster. Its Service and ServiceAccount are the controller's to make.
#pragma once

#include <vector>

#include "tools/meshctl/local/layout.h"
#include "tools/meshctl/local/workloads.h"

namespace mesh::local {

// Adds the pods of each waypoint: one, or as many as the Gateway's annotation
// mesh/waypoint-replicas says.
void AddWaypointPods(const ObjectStore& objects, const Layout& layout, bool ipv6,
                     std::vector<PodSet>& plan);

}  // namespace mesh::local

// What holds for the whole mesh: flags, and the mesh configuration over them (ConfigMap `istio` in
// the system namespace, key `mesh`).
#pragma once

#include <string>

#include "proto/api/kube_core.pb.h"

namespace mesh::controller {

struct Settings {
  std::string system_namespace = "istio-system";
  std::string root_namespace = "istio-system";
  std::string trust_domain = "cluster.local";
  std::string cluster_id = "Kubernetes";
  std::string cluster_domain = "cluster.local";
  // Of this cluster: label topology.istio.io/network of the system namespace; empty: the default.
  std::string network;
  bool auto_allow_waypoint = false;  // admit waypoints to the workloads behind them
  bool dry_run_policies = false;     // send policies annotated istio.io/dry-run

  bool operator==(const Settings&) const = default;
};

// `flags` with what the mesh configuration says over it. Text that does not parse changes nothing
// and is reported in `problem`.
Settings WithMeshConfig(const Settings& flags, const api::ConfigMap* config, std::string& problem);

}  // namespace mesh::controller

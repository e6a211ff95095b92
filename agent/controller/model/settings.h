// What holds for the whole mesh: flags, and the mesh configuration over them (ConfigMap `istio` in
// the system namespace, key `mesh`).
#pragma once

#include <string>
#include <vector>

#include "proto/api/kube_core.pb.h"

namespace mesh::controller {

// Where spans go: an extension provider of the mesh configuration.
struct TracingProvider {
  std::string name;
  std::string service;  // host
  uint32_t port = 0;
  std::string path;
  bool otlp = false;  // else Zipkin
  bool operator==(const TracingProvider&) const = default;
};

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
  // Policies that select workloads are enforced at waypoints, by the client that a waypoint knows,
  // where there is one: always when they need HTTP, else for what comes through one anyway.
  bool selector_policies_at_waypoints = false;
  bool manage_waypoints = false;  // make Service and ServiceAccount of waypoints, tell their status
  bool auto_waypoints = false;    // make a waypoint where rules need one

  std::vector<TracingProvider> tracing_providers;
  std::string default_tracing;  // name of a provider; empty: none
  double trace_sampling_percent = 1;
  bool access_log = true;
  bool access_log_json = false;

  bool operator==(const Settings&) const = default;
};

// `flags` with what the mesh configuration says over it. Text that does not parse changes nothing
// and is reported in `problem`.
Settings WithMeshConfig(const Settings& flags, const api::ConfigMap* config, std::string& problem);

}  // namespace mesh::controller

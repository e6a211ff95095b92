// The settings of ztunnel, from the environment, under the names that Istio's ztunnel uses, so that
// one can stand in the other's place. Names of our own begin with MESH_. Unknown names are ignored;
// a value that cannot be understood is an error that names the variable.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <map>
#include <string>

#include "ztunnel/base/log.h"
#include "ztunnel/cmd/proxy_config.h"
#include "ztunnel/core/identity/control_plane.h"
#include "ztunnel/core/xds/node_metadata.h"
#include "ztunnel/tunnel/config.h"

namespace mesh::cmd {

struct Settings {
  tunnel::Config tunnel;

  identity::ControlPlane xds;  // an empty address: no discovery
  identity::ControlPlane ca;
  bool xds_on_demand = false;  // only addresses that traffic asks for; needs `dns` off
  absl::Duration secret_ttl = absl::Hours(24);
  bool fake_ca = false;  // certificates are made here, and `ca` is not asked

  // State beside what discovery says: a text, or the file that holds it (core/xds/local_state.h).
  std::string local_xds, local_xds_path;

  std::string crl_path;      // empty: nothing is ever revoked
  std::string key_exchange;  // groups of TLS; empty: OpenSSL's default

  std::string cluster_domain = "cluster.local";
  std::string node_name, pod_name, pod_namespace, instance_ip, service_account;
  std::string zds_socket = "/var/run/ztunnel/ztunnel.sock";
  bool dns = true;
  uint16_t dns_port = 15053;  // of ISTIO_META_DNS_PROXY_ADDR; the address is always loopback
  std::string preferred_namespace;
  std::string resolv_conf = "/etc/resolv.conf";

  uint16_t admin_port = 15000, stats_port = 15020, readiness_port = 15021;
  int worker_threads = 2;
  absl::Duration termination_deadline = absl::Seconds(5);

  std::string log_level = "info";
  LogFormat log_format = LogFormat::kPlain;
  std::map<std::string, std::string> proxy_metadata;  // what follows ISTIO_META_
  std::string version_tag = "unknown";                // ISTIO_META_ISTIO_VERSION
  std::string state_cache_path;                       // MESH_STATE_CACHE; empty: none
  size_t metrics_series_limit = 20'000;               // MESH_METRICS_SERIES_LIMIT, a worker

  // `cpus` is what the machine has.
  static absl::StatusOr<Settings> FromEnvironment(const Environment& environment, int cpus);
};

Environment CurrentEnvironment();

// How a process with these settings introduces itself to the control plane.
xds::NodeInfo NodeInfoOf(const Settings& settings, const Environment& environment);

}  // namespace mesh::cmd

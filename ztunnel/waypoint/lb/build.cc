#include "ztunnel/waypoint/lb/build.h"

#include <fmt/format.h>

namespace mesh::lb {
namespace {

bool HasLabels(const Labels& wanted, const Labels* labels) {
  if (wanted.empty()) return true;
  if (labels == nullptr) return false;
  for (const auto& [key, value] : wanted) {
    const auto it = labels->find(key);
    if (it == labels->end() || it->second != value) return false;
  }
  return true;
}

std::shared_ptr<HostStats> StatsOf(const Cluster* previous, const Host& host, absl::Time now) {
  if (previous != nullptr) {
    for (const Host& old : previous->hosts()) {
      if (old.address == host.address && old.hostname == host.hostname) return old.stats;
    }
  }
  auto stats = std::make_shared<HostStats>();
  stats->added_at_ns = absl::ToUnixNanos(now);
  return stats;
}

uint16_t PortIn(const state::PortMap& ports, uint16_t port) {
  const auto it = ports.find(port);
  return it == ports.end() ? 0 : it->second;
}

// 0: this endpoint cannot serve the port.
uint16_t PortOf(const state::Endpoint& endpoint, const state::Service& service, uint16_t port) {
  if (const uint16_t own = PortIn(endpoint.ports(), port)) return own;
  return PortIn(service.ports, port);
}

}  // namespace

std::string ClusterName(uint16_t port, std::string_view subset, std::string_view hostname) {
  return fmt::format("outbound|{}|{}|{}", port, subset, hostname);
}

ClusterRef BuildCluster(std::string name, const ClusterOptions& options,
                        const state::MeshState& state, const LabelsOf& labels,
                        const Cluster* previous, absl::Time now) {
  std::vector<Host> hosts;
  const size_t slash = options.service.find('/');
  const state::ServiceRef service =
      state.FindService(options.service.substr(0, slash), options.service.substr(slash + 1));
  if (service != nullptr) {
    for (const state::Endpoint& endpoint : state.Endpoints(*service)) {
      const state::WorkloadRef& workload = endpoint.workload;
      const uint16_t port = PortOf(endpoint, *service, options.port);
      if (port == 0 || !HasLabels(options.subset_labels, labels(workload->uid))) continue;
      Host host;
      host.workload = workload;
      host.weight = std::max(1u, workload->capacity);
      host.address.port = port;
      if (!workload->addresses.empty()) {
        host.address.ip = workload->addresses[0];
      } else if (!workload->hostname.empty()) {
        host.hostname = workload->hostname.str();
      } else {
        continue;
      }
      host.stats = StatsOf(previous, host, now);
      hosts.push_back(std::move(host));
    }
  }
  return std::make_shared<Cluster>(
      std::move(name), options, std::move(hosts),
      previous != nullptr ? previous->shared_stats() : std::make_shared<ClusterStats>());
}

ClusterRef WorkloadCluster(const state::WorkloadRef& workload, const SocketAddress& address) {
  Host host;
  host.workload = workload;
  host.address = address;
  host.stats = std::make_shared<HostStats>();
  return std::make_shared<Cluster>(
      fmt::format("inbound-vip|{}||{}", address.port, address.ip.ToString()), ClusterOptions(),
      std::vector<Host>{std::move(host)}, std::make_shared<ClusterStats>());
}

}  // namespace mesh::lb

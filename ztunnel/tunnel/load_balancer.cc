#include "ztunnel/tunnel/load_balancer.h"

#include <absl/random/distributions.h>

#include <vector>

#include "ztunnel/base/status.h"
#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::tunnel {
namespace {

using state::Scope;

bool Matches(Scope scope, const state::Workload& a, const state::Workload& b) {
  switch (scope) {
    case Scope::kRegion:
      return a.locality.region == b.locality.region;
    case Scope::kZone:
      return a.locality.zone == b.locality.zone;
    case Scope::kSubzone:
      return a.locality.subzone == b.locality.subzone;
    case Scope::kNode:
      return a.node == b.node;
    case Scope::kCluster:
      return a.cluster_id == b.cluster_id;
    case Scope::kNetwork:
      return a.network == b.network;
  }
  return false;
}

uint16_t PortIn(const state::PortMap& ports, uint16_t port) {
  const auto it = ports.find(port);
  return it == ports.end() ? 0 : it->second;
}

// 0: this endpoint cannot serve the port.
uint16_t TargetPort(const LoadBalanceInput& in, const state::Endpoint& endpoint) {
  if (const uint16_t port = PortIn(endpoint.ports(), in.port)) return port;
  if (const uint16_t port = PortIn(in.service.ports, in.port)) return port;
  const auto& tunnel = endpoint.workload->application_tunnel;
  return tunnel && tunnel->port != 0 ? in.port : 0;
}

bool FamilyAllowed(state::IpFamilies families, const IpAddress& ip) {
  switch (families) {
    case state::IpFamilies::kV4Only:
      return ip.IsV4();
    case state::IpFamilies::kV6Only:
      return !ip.IsV4();
    case state::IpFamilies::kAutomatic:
    case state::IpFamilies::kDual:
      return true;
  }
  return true;
}

std::optional<IpAddress> AddressOf(const LoadBalanceInput& in, const state::Workload& workload) {
  std::optional<IpAddress> any;
  for (const IpAddress& ip : workload.addresses) {
    if (ip == in.wanted) return ip;
  }
  for (const IpAddress& ip : workload.addresses) {
    if (!FamilyAllowed(in.service.ip_families, ip)) continue;
    if (ip.IsV4() == in.wanted.IsV4()) return ip;
    if (!any) any = ip;
  }
  return any;
}

bool Reachable(const state::Workload& client, const state::Workload& workload) {
  if (!workload.addresses.empty() || !workload.hostname.empty()) return true;
  return workload.network != client.network && workload.network_gateway.has_value();
}

}  // namespace

Rank RankOf(const std::vector<Scope>& preference, const state::Workload& client,
            const state::Workload& endpoint) {
  Rank rank{0, true};
  for (size_t i = 0; i < preference.size(); ++i) {
    const bool leading_network = i == 0 && preference[i] == Scope::kNetwork;
    if (Matches(preference[i], client, endpoint)) {
      rank.matches += leading_network ? static_cast<int>(preference.size()) : 1;
      continue;
    }
    rank.all = false;
    if (!leading_network) break;
  }
  return rank;
}

absl::StatusOr<Choice> ChooseEndpoint(const LoadBalanceInput& in, absl::BitGenRef random) {
  const state::Service& service = in.service;
  const bool declared = service.ports.contains(in.port);
  const auto ranked =
      service.lb_mode == state::LbMode::kStrict || service.lb_mode == state::LbMode::kFailover;
  // Kept for the next choice of the thread: a large service's are many.
  thread_local std::vector<std::pair<const state::Endpoint*, uint16_t>> usable;
  usable.clear();
  uint64_t total = 0;
  int best = 0;
  for (const state::Endpoint& endpoint : in.state.Endpoints(service)) {
    const state::Workload& workload = *endpoint.workload;
    if (!declared && !(in.waypoint && workload.application_tunnel)) continue;
    const uint16_t port = TargetPort(in, endpoint);
    if (port == 0 || !Reachable(in.client, workload)) continue;
    if (ranked) {
      const Rank rank = RankOf(service.routing_preference, in.client, workload);
      if (service.lb_mode == state::LbMode::kStrict && !rank.all) continue;
      if (service.lb_mode == state::LbMode::kFailover) {
        if (rank.matches < best) continue;
        if (rank.matches > best) {
          usable.clear();
          total = 0;
          best = rank.matches;
        }
      }
    }
    usable.emplace_back(&endpoint, port);
    total += workload.capacity;
  }
  if (usable.empty() && !declared) {
    return telemetry::WithReason(NotFound("service {} has no port {}", service.Key(), in.port),
                                 MESH_REASON_SERVICE_PORT_UNKNOWN);
  }
  if (total == 0) {
    return telemetry::WithReason(
        Unavailable("service {} has no endpoint for port {}", service.Key(), in.port),
        MESH_REASON_NO_HEALTHY_ENDPOINT);
  }
  uint64_t at = absl::Uniform<uint64_t>(random, 0, total);
  for (const auto& [endpoint, port] : usable) {
    const uint64_t weight = endpoint->workload->capacity;
    if (at < weight) return Choice{endpoint->workload, AddressOf(in, *endpoint->workload), port};
    at -= weight;
  }
  return Internal("weights of service {} do not add up", service.Key());
}

}  // namespace mesh::tunnel

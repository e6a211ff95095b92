#include "ztunnel/tunnel/route.h"

#include <absl/random/distributions.h>
#include <fmt/format.h>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/telemetry/telemetry.h"
#include "ztunnel/tunnel/load_balancer.h"

namespace mesh::tunnel {
namespace {

using state::GatewayAddress;
using telemetry::WithReason;

std::vector<identity::Identity> Accepted(const state::Service* service,
                                         const state::Workload& workload) {
  std::vector<identity::Identity> accepted;
  if (service != nullptr) {
    for (const state::Text& name : service->subject_alt_names) {
      if (auto id = identity::Identity::Parse(name); id.ok()) accepted.push_back(*std::move(id));
    }
  }
  accepted.push_back(workload.Identity());
  return accepted;
}

const GatewayAddress* WaypointOf(const state::Service& service, absl::BitGenRef random) {
  uint64_t total = 0;
  for (const auto& weighted : service.weighted_waypoints) total += weighted.weight;
  const GatewayAddress* single = service.waypoint ? &*service.waypoint : nullptr;
  if (total == 0) return single;
  uint64_t at = absl::Uniform<uint64_t>(random, 0, total);
  for (const auto& weighted : service.weighted_waypoints) {
    if (at < weighted.weight) return &weighted.gateway;
    at -= weighted.weight;
  }
  return single;
}

absl::Status NoWaypoint(const GatewayAddress& gateway, std::string_view why) {
  return WithReason(Unavailable("waypoint {}: {}", gateway.DestinationString(), why),
                    MESH_REASON_NO_HEALTHY_WAYPOINT);
}

absl::Status OtherNetwork(const state::Workload& workload, std::string_view why) {
  return WithReason(
      Unavailable("{} is on network {}: {}", workload.uid, Quoted(workload.network), why),
      MESH_REASON_CONNECT_UNREACHABLE);
}

// Where a waypoint or a network's gateway is.
struct Hop {
  Choice choice;
  state::ServiceRef service;  // null: named as a workload
};

absl::StatusOr<Hop> FindHop(const RouteInput& in, const GatewayAddress& gateway,
                            absl::BitGenRef random) {
  state::MeshState::AddressHit hit;
  IpAddress wanted = in.destination.ip;
  if (const auto* name = std::get_if<state::NamespacedHostname>(&gateway.destination)) {
    hit = in.state.FindByHostname(*name);
  } else {
    const auto& address = std::get<state::NetworkAddress>(gateway.destination);
    hit = in.state.FindByAddress(address.network, address.ip);
    wanted = address.ip;
  }
  const uint16_t port = gateway.hbone_port != 0 ? gateway.hbone_port : in.hbone_port;
  Hop hop;
  if (const auto* service = std::get_if<state::ServiceRef>(&hit)) {
    hop.service = *service;
    const LoadBalanceInput balance{in.state, **service, port, in.source, wanted, true};
    ASSIGN_OR_RETURN(hop.choice, ChooseEndpoint(balance, random));
    return hop;
  }
  if (const auto* workload = std::get_if<state::WorkloadRef>(&hit)) {
    hop.choice = {*workload, std::nullopt, port};
    for (const IpAddress& ip : (*workload)->addresses) {
      if (!hop.choice.address || ip.IsV4() == wanted.IsV4()) hop.choice.address = ip;
    }
    return hop;
  }
  return NotFound("not known");
}

// To `workload`, an endpoint of `backend`, through the gateway of its network. That is asked for
// by name: addresses mean something within a network only.
absl::StatusOr<Route> ToNetwork(const RouteInput& in, const state::WorkloadRef& workload,
                                const state::ServiceRef& backend, state::ServiceRef asked,
                                absl::BitGenRef random) {
  if (!workload->network_gateway) return OtherNetwork(*workload, "it names no gateway to there");
  if (asked == nullptr || backend == nullptr) {
    return OtherNetwork(*workload, "it is reached as an endpoint of a service only");
  }
  const GatewayAddress& gateway = *workload->network_gateway;
  Route route;
  route.kind = Route::Kind::kHbone;
  for (const state::Text& name : backend->subject_alt_names) {
    if (auto id = identity::Identity::Parse(name); id.ok())
      route.inner_accepted.push_back(*std::move(id));
  }
  if (route.inner_accepted.empty()) {
    return OtherNetwork(*workload,
                        fmt::format("service {} does not say who may answer", backend->Key()));
  }
  absl::StatusOr<Hop> hop = FindHop(in, gateway, random);
  const std::string where = "gateway " + gateway.DestinationString();
  if (!hop.ok()) {
    return OtherNetwork(*workload, fmt::format("{}: {}", where, MessageOf(hop.status())));
  }
  const Choice& choice = hop->choice;
  if (!choice.address && choice.workload->hostname.empty()) {
    return OtherNetwork(*workload, where + " has no address");
  }
  if (!choice.address) route.hostname = choice.workload->hostname;
  route.next_hop = {choice.address.value_or(IpAddress()), choice.port};
  route.target = route.next_hop;
  route.authority = fmt::format("{}:{}", asked->hostname, in.destination.port);
  route.accepted = Accepted(hop->service.get(), *choice.workload);
  route.destination = workload;
  route.service = std::move(asked);
  return route;
}

absl::StatusOr<Route> ToWaypoint(const RouteInput& in, const GatewayAddress& gateway,
                                 state::ServiceRef asked, absl::BitGenRef random) {
  absl::StatusOr<Hop> hop = FindHop(in, gateway, random);
  if (!hop.ok()) return NoWaypoint(gateway, MessageOf(hop.status()));
  const Choice& choice = hop->choice;
  if (choice.workload->network != in.network) {
    absl::StatusOr<Route> route =
        ToNetwork(in, choice.workload, hop->service, std::move(asked), random);
    if (route.ok()) route->via_waypoint = true;
    return route;
  }
  Route route;
  route.kind = Route::Kind::kHbone;
  route.via_waypoint = true;
  route.service = std::move(asked);
  route.accepted = Accepted(hop->service.get(), *choice.workload);
  if (!choice.address && choice.workload->hostname.empty()) {
    return NoWaypoint(gateway, "its endpoint has no address");
  }
  if (!choice.address) route.hostname = choice.workload->hostname;
  route.destination = choice.workload;
  route.next_hop = {choice.address.value_or(IpAddress()), choice.port};
  route.target = route.next_hop;
  route.authority = in.destination.ToString();
  return route;
}

Route ToWorkload(const RouteInput& in, const state::WorkloadRef& workload, SocketAddress target,
                 state::ServiceRef service) {
  Route route;
  route.destination = workload;
  route.target = target;
  if (workload->protocol == state::Protocol::kHbone) {
    route.kind = Route::Kind::kHbone;
    route.next_hop = {target.ip, in.hbone_port};
    route.authority = target.ToString();
    route.accepted = Accepted(service.get(), *workload);
  } else {
    route.kind = Route::Kind::kTcp;
    route.next_hop = target;
  }
  route.service = std::move(service);
  return route;
}

Route Passthrough(const RouteInput& in, state::ServiceRef service) {
  Route route;
  route.next_hop = in.destination;
  route.target = in.destination;
  route.service = std::move(service);
  return route;
}

absl::StatusOr<Route> ToService(const RouteInput& in, const state::ServiceRef& service,
                                absl::BitGenRef random) {
  const GatewayAddress* waypoint = WaypointOf(*service, random);
  if (waypoint != nullptr && !IsGateway(in.source, *waypoint))
    return ToWaypoint(in, *waypoint, service, random);
  if (service->lb_mode == state::LbMode::kPassthrough) return Passthrough(in, service);
  const LoadBalanceInput balance{in.state,  *service,          in.destination.port,
                                 in.source, in.destination.ip, false};
  ASSIGN_OR_RETURN(Choice choice, ChooseEndpoint(balance, random));
  if (choice.workload->network != in.network) {
    return ToNetwork(in, choice.workload, service, service, random);
  }
  if (!choice.address && choice.workload->hostname.empty()) {
    return WithReason(Unavailable("endpoint {} of service {} has no address of its families",
                                  choice.workload->uid, service->Key()),
                      MESH_REASON_CONNECT_UNREACHABLE);
  }
  Route route =
      ToWorkload(in, choice.workload, {choice.address.value_or(IpAddress()), choice.port}, service);
  if (!choice.address) route.hostname = choice.workload->hostname;
  return route;
}

}  // namespace

void SetAddress(Route& route, const IpAddress& address) {
  route.next_hop.ip = address;
  route.target.ip = address;
  // Waypoints and gateways are asked for what the application asked for.
  if (route.kind == Route::Kind::kHbone && !route.via_waypoint && route.inner_accepted.empty()) {
    route.authority = route.target.ToString();
  }
  route.hostname.clear();
}

bool IsGateway(const state::Workload& workload, const GatewayAddress& gateway) {
  if (const auto* name = std::get_if<state::NamespacedHostname>(&gateway.destination)) {
    return workload.services.contains(name->ToString()) ||
           (!workload.hostname.empty() && workload.ns == name->ns &&
            workload.hostname == name->hostname);
  }
  const auto& address = std::get<state::NetworkAddress>(gateway.destination);
  return workload.network == address.network &&
         std::find(workload.addresses.begin(), workload.addresses.end(), address.ip) !=
             workload.addresses.end();
}

absl::StatusOr<Route> ResolveOutbound(const RouteInput& in, absl::BitGenRef random) {
  if (auto service = in.state.FindServiceByVip(in.network, in.destination.ip, in.source.ns)) {
    return ToService(in, service, random);
  }
  if (auto workload = in.state.FindWorkload(in.network, in.destination.ip)) {
    const auto& waypoint = workload->waypoint;
    if (waypoint && !IsGateway(in.source, *waypoint))
      return ToWaypoint(in, *waypoint, nullptr, random);
    return ToWorkload(in, workload, in.destination, nullptr);
  }
  return Passthrough(in, nullptr);
}

}  // namespace mesh::tunnel

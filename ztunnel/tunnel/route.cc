#include "ztunnel/tunnel/route.h"

#include <absl/random/distributions.h>

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
    for (const std::string& name : service->subject_alt_names) {
      if (auto id = identity::Identity::Parse(name); id.ok()) accepted.push_back(*std::move(id));
    }
  }
  accepted.push_back(workload.Identity());
  return accepted;
}

std::optional<GatewayAddress> WaypointOf(const state::Service& service, absl::BitGenRef random) {
  uint64_t total = 0;
  for (const auto& weighted : service.weighted_waypoints) total += weighted.weight;
  if (total == 0) return service.waypoint;
  uint64_t at = absl::Uniform<uint64_t>(random, 0, total);
  for (const auto& weighted : service.weighted_waypoints) {
    if (at < weighted.weight) return weighted.gateway;
    at -= weighted.weight;
  }
  return service.waypoint;
}

absl::Status NoWaypoint(const GatewayAddress& gateway, std::string_view why) {
  return WithReason(Unavailable("waypoint {}: {}", gateway.DestinationString(), why),
                    MESH_REASON_NO_HEALTHY_WAYPOINT);
}

absl::Status OtherNetwork(const state::Workload& workload) {
  return WithReason(
      Unavailable("{} is on network {}: tunnels through its gateway are not supported",
                  workload.uid, Quoted(workload.network)),
      MESH_REASON_CONNECT_UNREACHABLE);
}

absl::StatusOr<Route> ToWaypoint(const RouteInput& in, const GatewayAddress& gateway,
                                 state::ServiceRef asked, absl::BitGenRef random) {
  state::MeshState::AddressHit hit;
  IpAddress wanted = in.destination.ip;
  if (const auto* name = std::get_if<state::NamespacedHostname>(&gateway.destination)) {
    hit = in.state.FindByHostname(*name);
  } else {
    const auto& address = std::get<state::NetworkAddress>(gateway.destination);
    hit = in.state.FindByAddress(address.network, address.ip);
    wanted = address.ip;
  }
  Route route{.kind = Route::Kind::kHbone,
              .next_hop = {},
              .target = {},
              .hostname = {},
              .authority = {},
              .accepted = {},
              .via_waypoint = true,
              .destination = nullptr,
              .service = std::move(asked)};
  Choice choice;
  if (const auto* service = std::get_if<state::ServiceRef>(&hit)) {
    const uint16_t port = gateway.hbone_port != 0 ? gateway.hbone_port : in.hbone_port;
    const LoadBalanceInput balance{in.state, **service, port, in.source, wanted, true};
    absl::StatusOr<Choice> chosen = ChooseEndpoint(balance, random);
    if (!chosen.ok()) return NoWaypoint(gateway, MessageOf(chosen.status()));
    choice = *std::move(chosen);
    route.accepted = Accepted(service->get(), *choice.workload);
  } else if (const auto* workload = std::get_if<state::WorkloadRef>(&hit)) {
    choice = {*workload, std::nullopt,
              gateway.hbone_port != 0 ? gateway.hbone_port : in.hbone_port};
    for (const IpAddress& ip : (*workload)->addresses) {
      if (!choice.address || ip.IsV4() == wanted.IsV4()) choice.address = ip;
    }
    route.accepted = Accepted(nullptr, *choice.workload);
  } else {
    return NoWaypoint(gateway, "not known");
  }
  if (choice.workload->network != in.network) return OtherNetwork(*choice.workload);
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
  const std::optional<GatewayAddress> waypoint = WaypointOf(*service, random);
  if (waypoint && !IsGateway(in.source, *waypoint))
    return ToWaypoint(in, *waypoint, service, random);
  if (service->lb_mode == state::LbMode::kPassthrough) return Passthrough(in, service);
  const LoadBalanceInput balance{in.state,  *service,          in.destination.port,
                                 in.source, in.destination.ip, false};
  ASSIGN_OR_RETURN(Choice choice, ChooseEndpoint(balance, random));
  if (choice.workload->network != in.network) return OtherNetwork(*choice.workload);
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
  // A waypoint is asked for what the application asked for.
  if (route.kind == Route::Kind::kHbone && !route.via_waypoint) {
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

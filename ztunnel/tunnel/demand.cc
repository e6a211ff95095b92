#include "ztunnel/tunnel/demand.h"

#include <memory>
#include <set>

#include "ztunnel/base/async/event.h"
#include "ztunnel/base/status.h"
#include "ztunnel/tunnel/worker_core.h"

namespace mesh::tunnel {
namespace {

// Who calls is only reported, so that a control plane that is away does not delay inbound traffic
// for long.
constexpr absl::Duration kPeerWait = absl::Milliseconds(500);

struct Answer {
  explicit Answer(base::EventLoop& loop) : event(loop) {}
  base::Event event;
  bool answered = false;
};

absl::Status NoAnswer(std::string_view name) {
  return telemetry::WithReason(
      Unavailable("the control plane has not answered what {} is", Quoted(name)),
      MESH_REASON_UNKNOWN_DESTINATION);
}

std::optional<std::string> UnknownGateway(const state::MeshState& state,
                                          const state::GatewayAddress& gateway) {
  state::MeshState::AddressHit hit;
  if (const auto* name = std::get_if<state::NamespacedHostname>(&gateway.destination)) {
    hit = state.FindByHostname(*name);
  } else {
    const auto& address = std::get<state::NetworkAddress>(gateway.destination);
    hit = state.FindByAddress(address.network, address.ip);
  }
  if (!std::holds_alternative<std::monostate>(hit)) return std::nullopt;
  return gateway.DestinationString();
}

// The waypoints and gateways of other networks, as names, that `state` lacks on the way to
// `destination`.
std::set<std::string> UnknownGateways(const WorkerCore& core, const state::Workload& source,
                                      const SocketAddress& destination) {
  const state::MeshState& state = *core.state;
  std::vector<state::GatewayAddress> gateways;
  const std::string& network = core.config.network;
  if (auto service = state.FindServiceByVip(network, destination.ip, source.ns)) {
    if (service->waypoint) gateways.push_back(*service->waypoint);
    for (const auto& weighted : service->weighted_waypoints) gateways.push_back(weighted.gateway);
    for (const state::Endpoint& endpoint : state.Endpoints(*service)) {
      const auto& gateway = endpoint.workload->network_gateway;
      if (gateway && endpoint.workload->network != network) gateways.push_back(*gateway);
    }
  } else if (auto workload = state.FindWorkload(network, destination.ip)) {
    if (workload->waypoint) gateways.push_back(*workload->waypoint);
  }
  std::set<std::string> names;
  for (const auto& gateway : gateways) {
    if (auto name = UnknownGateway(state, gateway)) names.insert(*std::move(name));
  }
  return names;
}

}  // namespace

base::Task<bool> AskFor(base::EventLoop& loop, const Demand& demand, std::string name,
                        absl::Duration wait) {
  // Shared with the callback, which may come when this frame is gone.
  auto answer = std::make_shared<Answer>(loop);
  demand(std::move(name), loop, [answer](bool answered) {
    answer->answered = answered;
    answer->event.Set();
  });
  co_await answer->event.Wait(wait);
  co_return answer->answered;
}

base::Task<absl::Status> AskForDestination(WorkerCore& core, state::WorkloadRef source,
                                           SocketAddress destination) {
  if (!core.demand) co_return absl::OkStatus();
  const std::string& network = core.config.network;
  const absl::Duration wait = core.config.workload_wait;
  if (!core.state->FindServiceByVip(network, destination.ip, source->ns) &&
      !core.state->FindWorkload(network, destination.ip)) {
    const std::string name = state::NetworkAddress{network, destination.ip}.ToString();
    const bool answered = co_await AskFor(core.loop, core.demand, name, wait);
    if (!answered) co_return NoAnswer(name);
  }
  for (const std::string& name : UnknownGateways(core, *source, destination)) {
    const bool answered = co_await AskFor(core.loop, core.demand, name, wait);
    if (!answered) co_return NoAnswer(name);
  }
  co_return absl::OkStatus();
}

base::Task<void> AskForPeer(WorkerCore& core, IpAddress peer) {
  if (!core.demand || core.state->FindWorkload(core.config.network, peer)) co_return;
  const std::string name = state::NetworkAddress{core.config.network, peer}.ToString();
  co_await AskFor(core.loop, core.demand, name, std::min(kPeerWait, core.config.workload_wait));
}

}  // namespace mesh::tunnel

// Where an outbound connection goes: a pure function of the mesh's state.
#pragma once

#include <absl/random/bit_gen_ref.h>
#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "ztunnel/core/state/mesh_state.h"

namespace mesh::tunnel {

struct Route {
  enum class Kind {
    kPassthrough,  // nothing known: the original destination, plain TCP
    kTcp,          // a known workload that speaks no HBONE
    kHbone,
  };
  Kind kind = Kind::kPassthrough;
  SocketAddress next_hop;  // what is connected to
  SocketAddress target;    // the destination workload's address and port
  // The next hop is known by this name only: look it up and call SetAddress. Empty: known.
  std::string hostname;
  // kHbone: what the tunnel is asked for and who may answer.
  std::string authority;
  std::vector<identity::Identity> accepted;
  bool via_waypoint = false;
  // The next hop is the gateway of another network: inside the tunnel to it goes a second one, and
  // who may answer that. Empty: one tunnel.
  std::vector<identity::Identity> inner_accepted;
  state::WorkloadRef
      destination;            // of the next hop (the waypoint, when through one); null: unknown
  state::ServiceRef service;  // what was asked for; null when it was no service
};

struct RouteInput {
  const state::MeshState& state;
  const state::Workload& source;
  SocketAddress destination;  // what the application asked for
  const std::string& network;
  uint16_t hbone_port = 15008;
};

// Errors carry the reason. A waypoint that cannot be used is an error, never a way around it.
absl::StatusOr<Route> ResolveOutbound(const RouteInput& input, absl::BitGenRef random);

// What `route.hostname` resolved to.
void SetAddress(Route& route, const IpAddress& address);

// Whether `gateway` is this workload, or a service that it stands behind.
bool IsGateway(const state::Workload& workload, const state::GatewayAddress& gateway);

}  // namespace mesh::tunnel

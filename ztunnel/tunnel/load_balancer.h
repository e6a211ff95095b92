// Which endpoint of a service takes a connection, and at which address and port.
#pragma once

#include <absl/random/bit_gen_ref.h>
#include <absl/status/statusor.h>

#include <optional>

#include "ztunnel/core/state/mesh_state.h"

namespace mesh::tunnel {

struct Choice {
  state::WorkloadRef workload;
  std::optional<IpAddress> address;  // none: on another network, or only known by hostname
  uint16_t port = 0;
};

struct LoadBalanceInput {
  const state::MeshState& state;
  const state::Service& service;
  uint16_t port = 0;              // of the service
  const state::Workload& client;  // locality, node, cluster and network of the choice
  IpAddress wanted;               // what the client asked for: its family is preferred
  bool waypoint = false;  // the port need not be declared by endpoints with a tunnel of their own
};

// Errors carry service_port_unknown or no_healthy_endpoint.
absl::StatusOr<Choice> ChooseEndpoint(const LoadBalanceInput& input, absl::BitGenRef random);

// How many leading scopes of the preference an endpoint shares with the client (a leading NETWORK
// counts as much as all that follow it); `all`: every scope matched.
struct Rank {
  int matches = 0;
  bool all = false;
};
Rank RankOf(const std::vector<state::Scope>& preference, const state::Workload& client,
            const state::Workload& endpoint);

}  // namespace mesh::tunnel

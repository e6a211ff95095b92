// What becomes of an accepted connection. Each task lives in its pod's TaskSet.
#pragma once

#include "ztunnel/tunnel/pod_runtime.h"
#include "ztunnel/tunnel/tunnel_relay.h"

namespace mesh::tunnel {

// From an application of this pod, captured on its way out.
base::Task<void> ServeOutbound(WorkerCore& core, PodRuntime& pod, net::Socket client);
// To an application of this pod, captured on its way in, without a tunnel.
base::Task<void> ServePlaintext(WorkerCore& core, PodRuntime& pod, net::Socket client);
// A peer's tunnel to this pod: the handshake. Its streams become tasks of their own.
base::Task<void> ServeTunnel(WorkerCore& core, PodRuntime& pod, net::Socket client);
// One stream of such a tunnel.
struct TunnelRequest {
  h2::Headers headers;
  SocketAddress peer;  // of the tunnel's TCP connection
  SocketAddress local;
  identity::Identity identity;  // proved by TLS
  identity::PeerRef chain;      // with this
};
base::Task<void> ServeStream(WorkerCore& core, PodRuntime& pod, TunnelRequest request,
                             std::unique_ptr<TunnelRelay> relay);

// The address that a pod is known by, of `family_of`'s family where it has one.
std::optional<IpAddress> AddressFor(const state::Workload& workload, const IpAddress& family_of);
// The service that a connection to `port` of `destination` was probably meant for.
state::ServiceRef GuessService(const state::MeshState& state, const state::Workload& destination,
                               uint16_t port, std::string_view hostname);

}  // namespace mesh::tunnel

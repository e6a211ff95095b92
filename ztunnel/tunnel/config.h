// Settings of the byte path, the same for all workers of a process.
#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "ztunnel/core/net/socket.h"

namespace mesh::tunnel {

struct Config {
  // Ports inside each pod's network namespace; hbone_port is where peers are reached, too.
  uint16_t outbound_port = 15001;
  uint16_t inbound_plaintext_port = 15006;
  uint16_t hbone_port = 15008;
  // Target ports that nobody is ever connected to, beside the three above.
  std::vector<uint16_t> illegal_ports;
  bool ipv6 = true;
  bool reuse_port = true;  // one listener per worker
  bool listens = true;     // false: another worker of the process does, for this one too

  std::string network;  // own network
  std::string cluster_id = "Kubernetes";
  std::string node_name;  // empty: not known
  std::string trust_domain = "cluster.local";

  // Same-node connections go through HBONE too, instead of being copied in process.
  bool force_encryption = false;
  // Applications see the client's address. Needs CAP_NET_ADMIN and routing in the pod's namespace.
  bool original_source = true;
  uint32_t packet_mark = 0x539;
  bool localhost_app_tunnel = true;
  bool response_baggage = true;
  bool policy_info_logging = false;  // what policy says about each connection, at level info

  uint32_t stream_window_bytes = 4 << 20;
  uint32_t connection_window_bytes = 16 << 20;
  uint32_t frame_bytes = 1 << 20;
  uint32_t max_concurrent_streams = 200;
  uint32_t pool_max_streams = 100;
  absl::Duration pool_idle = absl::Minutes(5);

  absl::Duration connect_timeout = absl::Seconds(10);
  absl::Duration handshake_timeout = absl::Seconds(10);
  absl::Duration workload_wait = absl::Seconds(5);  // for the pod's own workload to be known
  absl::Duration ping_interval = absl::Seconds(10);
  absl::Duration ping_timeout = absl::Seconds(20);

  bool keepalive = true;
  absl::Duration keepalive_time = absl::Seconds(180);
  absl::Duration keepalive_interval = absl::Seconds(180);
  int keepalive_retries = 9;
  bool user_timeout = false;

  // Bytes of a tunnel that wait un-sent in the kernel (TCP_NOTSENT_LOWAT): what small messages may
  // have to wait behind. 0: no cap.
  uint32_t tunnel_unsent_bytes = 512 << 10;
  std::string tunnel_congestion_control;  // empty: the system's

  // How to learn where a captured connection wanted to go; nothing when it was not captured.
  std::function<std::optional<SocketAddress>(const net::Socket&)> original_destination =
      [](const net::Socket& socket) { return socket.OriginalDestination(); };

  // Received bytes held for applications that do not take them (net::Budget): of the process, and
  // of a worker once they are shared out.
  size_t buffered_bytes = 512 << 20;

  // Limits of one worker in one pod; above them a connection is refused with reason `limit`.
  size_t max_connections_per_pod = 100'000;
  // While descriptors are scarce (the newest is this or above) a pod that has this many is refused
  // more: none leaves the others without.
  size_t fair_connections_per_pod = 100'000;
  int scarce_descriptor = std::numeric_limits<int>::max();
  size_t max_tunnels_per_pod = 10'000;
  // Peers' tunnels whose two sides have not proved who they are yet. Above it the oldest gives way:
  // honest peers are done in milliseconds.
  size_t max_handshakes_per_pod = 1'000;
  // The same for all pods of the worker together, since each takes memory before anybody has proved
  // anything. Above it the oldest of the pod with the most gives way.
  size_t max_handshakes = 2'000;
};

}  // namespace mesh::tunnel

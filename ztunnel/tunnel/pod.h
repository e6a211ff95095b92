// What the byte path knows of a pod of this node, and what it tells of a live connection.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "ztunnel/base/ip.h"
#include "ztunnel/base/netns.h"
#include "ztunnel/core/identity/identity.h"
#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::tunnel {

// A pod of this node, as the node agent describes it. Immutable, shared by workers.
struct Pod {
  std::string uid;
  std::string name;
  std::string ns;
  std::string service_account;
  std::string trust_domain = "cluster.local";
  std::shared_ptr<const Netns> netns;  // null: where the process is
  // Set for the proxy's own pod: reached by HBONE alone, and at this port alone.
  std::optional<uint16_t> only_port = {};

  identity::Identity Identity() const { return {trust_domain, ns, service_account}; }
};
using PodRef = std::shared_ptr<const Pod>;

// For dumps: one live application connection.
struct ActiveConnection {
  std::string pod_uid;
  telemetry::Direction direction = telemetry::Direction::kOutbound;
  SocketAddress src;
  SocketAddress original_dst;
  SocketAddress actual_dst;
  bool hbone = false;           // bytes travel in a tunnel
  std::string authority;        // of the tunnel's stream; empty without
  uint64_t received_bytes = 0;  // client to server
  uint64_t sent_bytes = 0;      // server to client
};

}  // namespace mesh::tunnel

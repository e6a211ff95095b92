// What a tunnel was asked for, and by whom.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>

#include "ztunnel/core/hbone/headers.h"
#include "ztunnel/waypoint/config/config.h"

namespace mesh::waypoint {

// The client of a tunnel. Identity is what TLS proved; the rest follows from its address.
struct Client {
  SocketAddress address;
  std::optional<identity::Identity> identity;  // none: plain text
  std::string principal;                       // of the identity, without spiffe://
  state::WorkloadRef workload;                 // null: unknown
  const Peer* peer = nullptr;                  // within the snapshot; null: nothing more is known
};

struct Target {
  SocketAddress asked;          // the authority; of a host name only the port
  state::ServiceRef service;    // null: a workload by its address
  state::WorkloadRef workload;  // null: a service
  uint16_t port = 0;            // of the service, or of the workload
  FrontendRef frontend;         // null: no configuration, the default applies
};

// The service of that VIP or host name, else the workload of that address. Only what goes through
// this waypoint: who asks for anything else would borrow the waypoint's identity. An error carries
// a reason.
absl::StatusOr<Target> ResolveTarget(const Config& config, const hbone::Authority& authority,
                                     const Self& self, std::string_view client_ns);

}  // namespace mesh::waypoint

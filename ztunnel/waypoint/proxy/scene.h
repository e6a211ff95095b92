// What all requests of one downstream connection have in common: who asks, for what, and by which
// configuration.
#pragma once

#include "ztunnel/waypoint/proxy/core.h"
#include "ztunnel/waypoint/proxy/target.h"

namespace mesh::waypoint {

struct Scene {
  ConfigRef config;
  Client client;
  hbone::Authority authority;
  Target target;
};
using SceneRef = std::shared_ptr<const Scene>;

// By the worker's present configuration. An error carries a reason.
absl::StatusOr<SceneRef> MakeScene(Core& core, const SocketAddress& client,
                                   const std::optional<identity::Identity>& identity,
                                   hbone::Authority authority);

}  // namespace mesh::waypoint

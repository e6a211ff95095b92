// Connections that are not HTTP: passed on as they are to an endpoint of the service.
#pragma once

#include <memory>

#include "ztunnel/base/async/task.h"
#include "ztunnel/waypoint/proxy/exchange.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::waypoint {

// Policy, route (by SNI when there is one), endpoint; then bytes both ways until both have ended,
// or none passed for the cluster's idle time. `client` is not started yet.
base::Task<void> ServeTcp(Core& core, SceneRef scene, std::unique_ptr<transport::Transport> client,
                          std::string sni);

}  // namespace mesh::waypoint

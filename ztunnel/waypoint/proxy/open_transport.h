// Opens the way to an endpoint: a stream of a tunnel for a workload that takes them, else a socket.
#pragma once

#include <absl/status/statusor.h>

#include <memory>

#include "ztunnel/base/async/task.h"
#include "ztunnel/waypoint/proxy/core.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::waypoint {

// The error carries a reason and says what was tried. Bounded by the cluster's connect timeout.
base::Task<absl::StatusOr<std::unique_ptr<transport::Transport>>> OpenTransport(
    Core& core, lb::ClusterRef cluster, lb::Host host);

}  // namespace mesh::waypoint

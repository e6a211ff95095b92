// What is asked of the control plane when traffic needs it (XDS_ON_DEMAND), instead of before.
//
// With a Demand set, an address that the state does not hold may exist all the same: it is asked
// for, and the connection waits. No answer is not "nobody": who decides by it must fail closed.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <functional>
#include <string>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/base/async/task.h"
#include "ztunnel/core/state/mesh_state.h"

namespace mesh::tunnel {

struct WorkerCore;

// Asks for "network/ip", "namespace/hostname" or a uid and posts to the loop whether the control
// plane answered; what it answered is in the loop's state by then.
using Demand =
    std::function<void(std::string name, base::EventLoop& loop, std::function<void(bool)> done)>;

// Whether an answer came within `wait`.
base::Task<bool> AskFor(base::EventLoop& loop, const Demand& demand, std::string name,
                        absl::Duration wait);

// Brings in what a connection of `source` to `destination` is routed by: its service or workload,
// and the waypoint of that. An error (unknown_destination) when it cannot be known.
base::Task<absl::Status> AskForDestination(WorkerCore& core, state::WorkloadRef source,
                                           SocketAddress destination);

// Brings in the workload at `peer`, for telemetry alone: a short wait, and no error.
base::Task<void> AskForPeer(WorkerCore& core, IpAddress peer);

}  // namespace mesh::tunnel

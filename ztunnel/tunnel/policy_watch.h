// Live connections by the workload that policy was asked about for them, so that a new state costs
// what it changes: only connections to a workload whose policies are others are asked about again,
// a few hundred a turn. Those that may no longer be end with reason policy_deny.
//
// Owner: WorkerCore; outlives the connections. Thread: the loop's.
#pragma once

#include <absl/status/status.h>

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/base/string_map.h"
#include "ztunnel/core/authz/policy.h"
#include "ztunnel/core/state/mesh_state.h"

namespace mesh::tunnel {

class LiveConnection;
struct WorkerCore;

class PolicyWatch {
 public:
  static constexpr int kChecksPerTurn = 256;

  struct Destination;
  struct Place {
    Destination* destination = nullptr;
    std::list<LiveConnection*>::iterator at;
  };

  explicit PolicyWatch(WorkerCore& core);
  ~PolicyWatch();
  PolicyWatch(const PolicyWatch&) = delete;
  PolicyWatch& operator=(const PolicyWatch&) = delete;

  // Whether the connection's subject may connect, by the worker's state of now; from here on it is
  // watched. The error carries policy_deny. Dry-run policies tell here and never again.
  absl::Status Begin(LiveConnection& live);
  void End(LiveConnection& live);

  // The worker has a new state.
  void OnState();

 private:
  Destination& DestinationOf(const state::Workload& workload);
  void Turn();

  WorkerCore& core_;
  StringMap<std::unique_ptr<Destination>> destinations_;  // by uid; those with connections
  base::EventLoop::TimerId turn_ = 0;
};

}  // namespace mesh::tunnel

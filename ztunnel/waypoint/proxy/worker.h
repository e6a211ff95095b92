// One worker of a waypoint: everything that its loop serves.
//
// Thread: the loop's, but for the constructor and Listen, which come before it runs.
#pragma once

#include <functional>

#include "ztunnel/waypoint/proxy/downstream.h"
#include "ztunnel/waypoint/proxy/front_door.h"

namespace mesh::waypoint {

class Worker {
 public:
  Worker(base::EventLoop& loop, const Options& options, identity::CertificateManager& certificates,
         telemetry::WorkerMetrics& metrics, net::HostResolver& hosts);
  ~Worker();

  absl::Status Listen() { return door_.Listen(); }
  void SetConfig(ConfigRef config) { core_.config = std::move(config); }
  // Requests in progress end by themselves; `done` is called when all have, or at the deadline.
  void Drain(absl::Duration deadline, std::function<void()> done);
  Core& core() { return core_; }

 private:
  base::Task<void> WaitForTheLast(absl::Duration deadline, std::function<void()> done);

  Core core_;
  Downstreams downstreams_;
  FrontDoor door_;
  base::TaskSet tasks_;
};

}  // namespace mesh::waypoint

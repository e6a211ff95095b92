// One worker: its loop, its thread, the byte path and the name service on it.
//
// Owner: Proxy. Thread: the main thread; what runs on the loop is reached through it.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/cmd/settings.h"
#include "ztunnel/core/identity/certificate_manager.h"
#include "ztunnel/core/telemetry/telemetry.h"
#include "ztunnel/dns/worker.h"
#include "ztunnel/pods/worker_host.h"
#include "ztunnel/tunnel/worker.h"

namespace mesh::cmd {

class WorkerThread {
 public:
  // The `index`-th of settings.worker_threads. `dns_metrics` null: no name service.
  WorkerThread(int index, const Settings& settings, identity::CertificateManager& certificates,
               telemetry::MetricsRegistry& registry, telemetry::AccessLog& log,
               dns::Metrics* dns_metrics);
  ~WorkerThread();  // stops and closes everything at once

  void Start();
  pods::WorkerRef ref() { return {&loop_, &tunnel_, dns_.get()}; }

  void SetDemand(tunnel::Demand demand) { tunnel_.SetDemand(std::move(demand)); }  // before Start
  void SetState(state::MeshStateRef mesh);
  void SetRevocations(identity::RevocationListsRef lists);
  // Listeners close now, connections may end by themselves; `done` runs on this worker's loop.
  void Drain(absl::Duration deadline, std::function<void()> done);
  base::EventLoop& loop() { return loop_; }
  tunnel::Worker& tunnel() { return tunnel_; }

 private:
  const int index_;
  base::EventLoop loop_;
  telemetry::WorkerMetrics metrics_;
  tunnel::Worker tunnel_;
  std::unique_ptr<dns::Worker> dns_;
  std::thread thread_;
};

}  // namespace mesh::cmd

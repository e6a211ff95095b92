// Which pods this proxy serves: what the node agent said, and how far each has come.
//
// Owner: cmd. Thread: the main loop. Survives the agent's connection: pods go on while it is away,
// and the next snapshot reconciles. A pod that cannot be started is retried every 5 s, alone.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/pods/zds_packet.h"
#include "ztunnel/tunnel/worker.h"

namespace mesh::telemetry {
class MetricsRegistry;
class MetricsWriter;
}  // namespace mesh::telemetry

namespace mesh::pods {

// What serves a pod: the workers of this process (WorkerHost), or a test's.
class PodHost {
 public:
  virtual ~PodHost() = default;
  // Calls `done` on the main loop, later. An error leaves nothing behind.
  virtual void Start(tunnel::PodRef pod, std::function<void(absl::Status)> done) = 0;
  // For pods whose Start succeeded or is not done yet; then nothing is left of it either.
  virtual void Stop(tunnel::PodRef pod, tunnel::Worker::Removal removal) = 0;
};

struct PodState {
  tunnel::PodRef pod;
  bool up = false;     // else pending
  absl::Status error;  // why pending, when it was tried
};

class PodManager {
 public:
  using Done = std::function<void(absl::Status)>;
  PodManager(base::EventLoop& loop, PodHost& host, telemetry::MetricsRegistry& registry,
             std::string trust_domain, absl::Duration retry = absl::Seconds(5));
  ~PodManager();
  PodManager(const PodManager&) = delete;
  PodManager& operator=(const PodManager&) = delete;

  // The agent's requests, one at a time: the next after `done` of the one before. `done` says what
  // the agent is told.
  void BeginSnapshot();  // a new session
  void Add(AddRequest request, Done done);
  void Keep(const std::string& uid, Done done);
  void Del(const std::string& uid, Done done);
  void SnapshotSent(Done done);
  void SessionEnded();

  // Snapshot received, session alive, and no pod waits to be started. Any thread.
  bool Ready() const;
  // No further starts or retries.
  void Drain() { draining_ = true; }

  std::vector<PodState> Pods() const;  // by uid

 private:
  struct Entry;
  void Start(Entry& entry);
  void OnStarted(const std::string& uid, uint64_t generation, const absl::Status& status);
  void Remove(const std::string& uid, tunnel::Worker::Removal removal);
  void ScheduleRetry(Entry& entry);
  void CollectMetrics(telemetry::MetricsWriter& writer);

  base::EventLoop& loop_;
  PodHost& host_;
  const std::string trust_domain_;
  const absl::Duration retry_;
  std::map<std::string, std::unique_ptr<Entry>> pods_;
  std::optional<std::set<std::string>> snapshot_;  // uids named so far, until SnapshotSent
  bool draining_ = false;
  uint64_t generations_ = 0;

  // Read by scrapes and probes, from other threads.
  std::atomic<bool> synced_{false};  // SnapshotSent, and the session goes on
  std::atomic<int64_t> active_{0}, pending_{0};
  std::atomic<uint64_t> started_{0}, stopped_{0};
  std::shared_ptr<void> metrics_;
};

}  // namespace mesh::pods

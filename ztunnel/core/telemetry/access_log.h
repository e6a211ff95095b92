// The access log: one line a connection, written by a thread of its own, so that a slow reader of
// our output never delays traffic. The queue holds kQueueLimit lines; what does not fit is dropped
// and counted (mesh_access_log_dropped_total), and the log says so when there is room again.
//
// One a process, made by its main function; outlives the records that it is told of. Thread-safe.
// Levels are those of the logger "access".
#pragma once

#include <absl/time/time.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ztunnel/base/log.h"
#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::telemetry {

class MetricsRegistry;

struct AccessEntry {
  enum class Kind { kOpened, kComplete, kFailedEarly, kDryRun };
  Kind kind = Kind::kComplete;
  absl::Time time = absl::InfinitePast();
  ConnectionInfo info = {};
  Direction direction = Direction::kOutbound;  // of a kFailedEarly
  uint64_t received = 0;
  uint64_t sent = 0;
  absl::Duration duration = absl::ZeroDuration();
  absl::Status status = absl::OkStatus();
  std::string would = {};  // of a kDryRun
};

// The line with its end of line. `own_cluster`: workloads of it are written without their cluster.
std::string FormatAccessEntry(const AccessEntry& entry, LogFormat format,
                              std::string_view own_cluster);

class AccessLog {
 public:
  static constexpr size_t kQueueLimit = 8192;
  explicit AccessLog(MetricsRegistry& registry) : registry_(registry), logger_(Logger("access")) {}
  ~AccessLog() { Stop(); }
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Before Start, lines are written by the caller's thread. `out` stays open.
  void Start(LogFormat format, std::string own_cluster, std::FILE* out = stdout);
  // Writes what is queued and ends the thread.
  void Stop();

  bool Enabled(AccessEntry::Kind kind, bool failed) const;
  void Write(AccessEntry entry);
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  void RunWriter();

  MetricsRegistry& registry_;
  const std::shared_ptr<spdlog::logger> logger_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<AccessEntry> queue_;
  bool running_ = false;
  LogFormat format_ = LogFormat::kPlain;
  std::string own_cluster_;
  std::FILE* out_ = stdout;
  std::atomic<uint64_t> dropped_{0};
  std::shared_ptr<void> metrics_;
  std::thread thread_;
};

}  // namespace mesh::telemetry

// What a connection leaves behind: istio_tcp_* metrics and one access-log line.
//
// A ConnectionRecord is opened when the context of a connection is known and finished exactly once
// (its destructor finishes with kDrained when nobody did). Thread: one worker. Counters are per
// worker and summed at scrape, without locks on the byte path.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bpf/include/mesh_abi.h"
#include "ztunnel/base/ip.h"
#include "ztunnel/core/identity/identity.h"
#include "ztunnel/core/state/types.h"

namespace mesh::telemetry {

enum class Reporter { kSource, kDestination };
enum class Direction { kInbound, kOutbound };

const char* ReasonLabel(mesh_reason reason);                         // "policy_deny"
std::optional<mesh_reason> ReasonFromLabel(std::string_view label);  // none: no such label
const char* ReasonExplanation(mesh_reason reason);                   // one clause in plain words
// Carried as a payload of the status: a connection ends with one reason.
absl::Status WithReason(absl::Status status, mesh_reason reason);
mesh_reason ReasonOf(const absl::Status& status);  // kNone for OK; INTERNAL when none was set

// What the peer said of itself in the tunnel's headers (baggage); used when it is no known
// workload.
struct Baggage {
  std::string cluster, ns, workload_name, service_name, revision, region, zone;
  state::WorkloadType type = state::WorkloadType::kDeployment;
};

struct ConnectionInfo {
  Reporter reporter = Reporter::kSource;
  SocketAddress src;                      // the client as this side sees it
  SocketAddress dst;                      // next hop (inbound HBONE: the pod, port 15008)
  std::string hbone_authority;            // empty unless tunnelled
  SocketAddress original_dst;             // what the application asked for
  state::WorkloadRef source;              // null: unknown
  std::optional<Baggage> source_baggage;  // when `source` is null
  // Proved by TLS or by the kernel. Principals are reported when the connection is mutual TLS or
  // when both of these are set (the same node).
  std::optional<identity::Identity> source_identity;
  state::WorkloadRef destination;
  std::optional<identity::Identity> destination_identity;
  state::ServiceRef destination_service;
  bool mutual_tls = false;  // bytes travel over HBONE
  std::string pod_uid;      // whose listener it is
};

// Counters of one direction pair, written by the worker that owns the series and read by scrapes.
struct ByteCells {
  std::atomic<uint64_t> received{0};
  std::atomic<uint64_t> sent{0};
};

// A counter with one writer needs no read-modify-write.
inline void Bump(std::atomic<uint64_t>& cell, uint64_t by) {
  cell.store(cell.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

class WorkerMetrics;
class ConnectionRecord {
 public:
  ConnectionRecord(ConnectionRecord&&) noexcept;
  ConnectionRecord& operator=(ConnectionRecord&&) noexcept;
  ~ConnectionRecord();

  // Client to server, server to client.
  void AddReceived(uint64_t bytes) {
    received_ += bytes;
    if (cells_ != nullptr) Bump(cells_->received, bytes);
  }
  void AddSent(uint64_t bytes) {
    sent_ += bytes;
    if (cells_ != nullptr) Bump(cells_->sent, bytes);
  }
  uint64_t received() const { return received_; }
  uint64_t sent() const { return sent_; }
  // OK for a connection that ended as its applications wanted.
  void Finish(const absl::Status& status);

 private:
  friend class WorkerMetrics;
  ConnectionRecord();
  struct State;
  std::unique_ptr<State> state_;
  ByteCells* cells_ = nullptr;  // of the series, kept alive by state_
  uint64_t received_ = 0;
  uint64_t sent_ = 0;
};

class AccessLog;
class MetricsRegistry;

// One a worker. Outlives its records. What it counted stays in the scrape after it is gone.
class WorkerMetrics {
 public:
  WorkerMetrics(MetricsRegistry& registry, AccessLog& log);  // both outlive the records
  ~WorkerMetrics();
  ConnectionRecord Open(ConnectionInfo info);
  // Refused before a context was known: logged as "connection failed", counted by reason only.
  void EarlyFailure(Direction direction, const SocketAddress& src, const SocketAddress& dst,
                    const absl::Status& status);
  // What a dry-run policy would have done to a connection ("denied policy=ns/name"): a line of the
  // access log, so that it never waits for who reads our output.
  void DryRun(ConnectionInfo info, std::string would);
  // A connection of `source` needs the address of an endpoint that is known by name only.
  void HostLookup(const state::WorkloadRef& source, std::string_view hostname);
  void SocketOpened(Reporter reporter);
  void SocketClosed(Reporter reporter);

  struct Shard;
  Shard& shard() { return *shard_; }

 private:
  friend class ConnectionRecord;
  std::shared_ptr<Shard> shard_;
  AccessLog& log_;
};

}  // namespace mesh::telemetry

#include "ztunnel/base/status.h"
#include "ztunnel/core/telemetry/access_log.h"
#include "ztunnel/core/telemetry/registry.h"
#include "ztunnel/core/telemetry/shard.h"
#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::telemetry {

struct ConnectionRecord::State {
  std::shared_ptr<WorkerMetrics::Shard> shard;
  AccessLog* log = nullptr;
  SeriesRef series;
  ConnectionInfo info;
  absl::Time opened;
};

ConnectionRecord::ConnectionRecord() = default;

ConnectionRecord::ConnectionRecord(ConnectionRecord&& other) noexcept
    : state_(std::move(other.state_)),
      cells_(std::exchange(other.cells_, nullptr)),
      received_(other.received_),
      sent_(other.sent_) {}

ConnectionRecord& ConnectionRecord::operator=(ConnectionRecord&& other) noexcept {
  if (this != &other) {
    ConnectionRecord old(std::move(*this));  // finishes what was here
    state_ = std::move(other.state_);
    cells_ = std::exchange(other.cells_, nullptr);
    received_ = other.received_;
    sent_ = other.sent_;
  }
  return *this;
}

ConnectionRecord::~ConnectionRecord() {
  if (state_ != nullptr) {
    Finish(WithReason(Cancelled("the proxy ended the connection"), MESH_REASON_DRAINED));
  }
}

void ConnectionRecord::Finish(const absl::Status& status) {
  if (state_ == nullptr) return;
  const std::unique_ptr<State> state = std::move(state_);
  cells_ = nullptr;
  const mesh_reason reason = ReasonOf(status);
  const int flag = static_cast<int>(FlagOf(reason));
  Bump(state->series->closed[flag], 1);
  if (!status.ok()) Bump(state->series->failed[flag], 1);
  Bump(state->shard->closed_by_reason[static_cast<int>(state->info.reporter)][reason], 1);

  AccessLog& log = *state->log;
  if (!log.Enabled(AccessEntry::Kind::kComplete, !status.ok())) return;
  const absl::Time now = absl::Now();
  log.Write({.kind = AccessEntry::Kind::kComplete,
             .time = now,
             .info = std::move(state->info),
             .received = received_,
             .sent = sent_,
             .duration = now - state->opened,
             .status = status});
}

WorkerMetrics::WorkerMetrics(MetricsRegistry& registry, AccessLog& log)
    : shard_(std::make_shared<Shard>()), log_(log) {
  registry.Register(shard_);
}

WorkerMetrics::~WorkerMetrics() = default;

ConnectionRecord WorkerMetrics::Open(ConnectionInfo info) {
  ConnectionRecord record;
  record.state_ = std::make_unique<ConnectionRecord::State>();
  ConnectionRecord::State& state = *record.state_;
  state.shard = shard_;
  state.log = &log_;
  state.series = shard_->Find(info);
  state.opened = absl::Now();
  state.info = std::move(info);
  record.cells_ = &state.series->bytes;
  Bump(state.series->opened, 1);
  if (log_.Enabled(AccessEntry::Kind::kOpened, false)) {
    log_.Write({.kind = AccessEntry::Kind::kOpened, .time = state.opened, .info = state.info});
  }
  return record;
}

void WorkerMetrics::EarlyFailure(Direction direction, const SocketAddress& src,
                                 const SocketAddress& dst, const absl::Status& status) {
  Bump(shard_->refused_by_reason[static_cast<int>(direction)][ReasonOf(status)], 1);
  if (!log_.Enabled(AccessEntry::Kind::kFailedEarly, true)) return;
  ConnectionInfo info;
  info.src = src;
  info.dst = dst;
  log_.Write({.kind = AccessEntry::Kind::kFailedEarly,
              .time = absl::Now(),
              .info = std::move(info),
              .direction = direction,
              .status = status});
}

void WorkerMetrics::DryRun(ConnectionInfo info, std::string would) {
  if (!log_.Enabled(AccessEntry::Kind::kDryRun, false)) return;
  log_.Write({.kind = AccessEntry::Kind::kDryRun,
              .time = absl::Now(),
              .info = std::move(info),
              .would = std::move(would)});
}

void WorkerMetrics::HostLookup(const state::WorkloadRef& source, std::string_view hostname) {
  std::string labels = HostLookupLabels(source, hostname);
  std::lock_guard lock(shard_->mutex);
  StringMap<uint64_t>& lookups = shard_->host_lookups;
  if (lookups.size() >= Shard::kHostLookupLimit && !lookups.contains(labels)) {
    labels = HostLookupLabels(nullptr, "overflow");
  }
  ++lookups[std::move(labels)];
}

void WorkerMetrics::SocketOpened(Reporter reporter) {
  const int i = static_cast<int>(reporter);
  shard_->sockets_seen[i].store(true, std::memory_order_relaxed);
  auto& cell = shard_->sockets_open[i];
  cell.store(cell.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void WorkerMetrics::SocketClosed(Reporter reporter) {
  auto& cell = shard_->sockets_open[static_cast<int>(reporter)];
  cell.store(cell.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

}  // namespace mesh::telemetry

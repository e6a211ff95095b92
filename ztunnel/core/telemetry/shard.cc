#include "ztunnel/core/telemetry/shard.h"

namespace mesh::telemetry {

uint64_t Series::ClosedTotal() const {
  uint64_t sum = 0;
  for (const auto& cell : closed) sum += cell.load(std::memory_order_relaxed);
  return sum;
}

SeriesRef WorkerMetrics::Shard::Find(const ConnectionInfo& info) {
  // What a peer says of itself is not comparable by pointer; such connections render their labels.
  if (info.source == nullptr && info.source_baggage) return CreateTold(info);
  const bool proved = PrincipalsProved(info);
  SeriesKey key{.reporter = info.reporter,
                .mutual_tls = info.mutual_tls,
                .source = info.source,
                .destination = info.destination,
                .service = info.destination_service,
                .source_identity = proved ? info.source_identity : std::nullopt,
                .destination_identity = proved ? info.destination_identity : std::nullopt};
  if (const auto it = recent_.find(key); it != recent_.end()) {
    if (!it->second->expired.load(std::memory_order_acquire)) return it->second;
    recent_.erase(it);
  }
  SeriesRef found = Create(info);
  if (recent_.size() >= kRecentLimit) recent_.clear();
  recent_.emplace(std::move(key), found);
  return found;
}

// Baggage whose series there is, or for which the peer has room, counts; other baggage does not.
SeriesRef WorkerMetrics::Shard::CreateTold(const ConnectionInfo& info) {
  const std::string peer = info.source_identity ? PrincipalOf(*info.source_identity) : "unknown";
  const TcpLabels labels = RenderLabels(info);
  {
    std::lock_guard lock(mutex);
    const auto it = series.find(labels.before_flags + labels.after_flags);
    if (it != series.end()) return it->second;
    if (const auto n = told.find(peer); n == told.end() || n->second < kToldLimit) {
      if (series.size() < limit.load(std::memory_order_relaxed)) {
        return Insert(info, labels, peer);
      }
    }
  }
  ConnectionInfo unknown = info;
  unknown.source_baggage.reset();
  return Find(unknown);
}

void WorkerMetrics::Shard::Forget(const Series& gone) {
  if (gone.told_by.empty()) return;
  const auto it = told.find(gone.told_by);
  if (it != told.end() && --it->second == 0) told.erase(it);
}

SeriesRef WorkerMetrics::Shard::Create(const ConnectionInfo& info) {
  TcpLabels labels = RenderLabels(info);
  const std::string key = labels.before_flags + labels.after_flags;
  std::lock_guard lock(mutex);
  if (const auto it = series.find(key); it != series.end()) return it->second;
  if (series.size() >= limit.load(std::memory_order_relaxed)) {
    Bump(overflowed, 1);
    SeriesRef& shared = overflow[static_cast<int>(info.reporter)];
    if (shared == nullptr) {
      shared = std::make_shared<Series>();
      shared->labels = OverflowLabels(info.reporter);
    }
    return shared;
  }
  return Insert(info, std::move(labels), "");
}

// Under the lock.
SeriesRef WorkerMetrics::Shard::Insert(const ConnectionInfo& info, TcpLabels labels,
                                       const std::string& told_by) {
  auto made = std::make_shared<Series>();
  made->labels = std::move(labels);
  made->told_by = told_by;
  if (!told_by.empty()) ++told[told_by];
  if (info.source != nullptr) {
    made->source_ns = info.source->ns;
    made->source_workload = info.source->workload_name;
  } else if (info.source_baggage) {
    made->source_ns = info.source_baggage->ns;
    made->source_workload = info.source_baggage->workload_name;
  }
  if (info.destination != nullptr) {
    made->destination_ns = info.destination->ns;
    made->destination_workload = info.destination->workload_name;
  }
  series.emplace(made->labels.before_flags + made->labels.after_flags, made);
  return made;
}

}  // namespace mesh::telemetry

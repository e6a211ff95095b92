// The counters of one worker. The worker alone writes cells; a scrape reads them relaxed. The lock
// guards the set of series and is taken by the worker only when a series is new.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include <absl/container/flat_hash_map.h>

#include "ztunnel/base/string_map.h"
#include "ztunnel/core/telemetry/labels.h"
#include "ztunnel/core/telemetry/response_flags.h"

namespace mesh::telemetry {

struct Series {
  TcpLabels labels;
  ByteCells bytes;
  std::atomic<uint64_t> opened{0};
  std::array<std::atomic<uint64_t>, kResponseFlags> closed{};
  std::array<std::atomic<uint64_t>, kResponseFlags> failed{};

  // For expiry: the ends' namespace and workload name (empty: unknown), and what was seen last
  // time.
  std::string source_ns, source_workload, destination_ns, destination_workload;
  std::string told_by;  // the peer whose baggage made the labels; empty: none
  uint64_t opened_at_last_check = 0;
  std::atomic<bool> expired{false};

  uint64_t ClosedTotal() const;
};
using SeriesRef = std::shared_ptr<Series>;

// What decides the labels, comparable without rendering them. It holds the workloads, so that a
// pointer is not reused for another one.
struct SeriesKey {
  Reporter reporter = Reporter::kSource;
  bool mutual_tls = false;
  state::WorkloadRef source, destination;
  state::ServiceRef service;
  std::optional<identity::Identity> source_identity, destination_identity;

  bool operator==(const SeriesKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const SeriesKey& k) {
    h = H::combine(std::move(h), k.reporter, k.mutual_tls, k.source.get(), k.destination.get(),
                   k.service.get());
    if (k.source_identity) h = H::combine(std::move(h), *k.source_identity);
    if (k.destination_identity) h = H::combine(std::move(h), *k.destination_identity);
    return h;
  }
};

struct WorkerMetrics::Shard {
  // The series of a connection; the overflow series at the limit. Worker only.
  SeriesRef Find(const ConnectionInfo& info);
  // Under the lock: `gone` is no longer in `series`.
  void Forget(const Series& gone);

  std::mutex mutex;
  StringMap<SeriesRef> series;  // by both parts of the labels
  // Series that the baggage of one peer may make, by its principal: beyond, its connections are of
  // an unknown source with that principal. So one peer cannot use up the limit of all.
  static constexpr size_t kToldLimit = 100;
  StringMap<size_t> told;
  std::array<SeriesRef, 2> overflow;
  // Lookups of host names by labels; under the lock, as such a connection waits for more. Above the
  // limit all are counted as of no source and the name "overflow".
  static constexpr size_t kHostLookupLimit = 2000;
  StringMap<uint64_t> host_lookups;
  std::atomic<uint64_t> overflowed{0};
  std::array<std::atomic<int64_t>, 2> sockets_open{};
  std::array<std::atomic<bool>, 2> sockets_seen{};
  // Received bytes held for applications that do not take them, and how often a tunnel was not read
  // for that reason: net::Budget's.
  std::atomic<uint64_t> buffered_bytes{0}, reads_paused{0};
  // [reporter][reason], and what was refused before a context was known: [direction][reason].
  std::array<std::array<std::atomic<uint64_t>, MESH_REASON_COUNT>, 2> closed_by_reason{};
  std::array<std::array<std::atomic<uint64_t>, MESH_REASON_COUNT>, 2> refused_by_reason{};
  std::atomic<size_t> limit{20'000};

 private:
  static constexpr size_t kRecentLimit = 4096;
  SeriesRef Create(const ConnectionInfo& info);
  SeriesRef CreateTold(const ConnectionInfo& info);
  SeriesRef Insert(const ConnectionInfo& info, TcpLabels labels, const std::string& told_by);
  absl::flat_hash_map<SeriesKey, SeriesRef> recent_;  // cleared when full
};

}  // namespace mesh::telemetry

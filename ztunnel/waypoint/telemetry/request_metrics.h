// The istio_requests_total family of one worker: counters and histograms by the labels of Istio's
// standard metrics, reporter "waypoint".
//
// The worker alone writes cells, a scrape reads them relaxed; the lock guards the set of series and
// is taken by the worker only when one is new. Bounded: above `limit` series requests are counted
// in one overflow series.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/time/time.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "ztunnel/base/string_map.h"
#include "ztunnel/core/identity/identity.h"
#include "ztunnel/core/state/types.h"
#include "ztunnel/core/telemetry/metrics_writer.h"

namespace mesh::waypoint {

struct RequestRecord {
  state::WorkloadRef source, destination;  // null: unknown
  state::ServiceRef service;
  std::optional<identity::Identity> source_identity;  // none: plain text
  uint16_t status = 0;                                // 0: none was sent
  uint32_t flags = 0;                                 // route::FlagSet
  bool grpc = false;
  std::string_view grpc_status;  // of the answer; empty: none
  absl::Duration duration;
  uint64_t request_bytes = 0, response_bytes = 0;
};

// Upper bounds, in milliseconds or bytes; one more bucket above. Envoy's.
inline constexpr std::array<double, 19> kBuckets = {
    0.5,  1,    5,     10,    25,    50,     100,    250,     500,    1000,
    2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};

class RequestMetrics {
 public:
  static constexpr size_t kDefaultLimit = 20'000;

  explicit RequestMetrics(size_t limit = kDefaultLimit) : limit_(limit) {}

  void Record(const RequestRecord& request);

  // All workers' together. Any thread.
  static void Write(std::span<const RequestMetrics* const> workers,
                    telemetry::MetricsWriter& writer);

 private:
  struct Histogram {
    std::array<std::atomic<uint64_t>, kBuckets.size() + 1> counts{};
    std::atomic<double> sum{0};
    void Observe(double value);
  };
  struct Series {
    std::string labels;
    std::atomic<uint64_t> requests{0};
    Histogram duration, request_bytes, response_bytes;
  };
  using SeriesRef = std::shared_ptr<Series>;
  // Holds the workloads, so that a pointer is not reused for another one.
  struct Key {
    state::WorkloadRef source, destination;
    state::ServiceRef service;
    std::optional<identity::Identity> source_identity;
    uint16_t status = 0;
    uint32_t flags = 0;
    bool grpc = false;
    std::string grpc_status;

    bool operator==(const Key&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& k) {
      h = H::combine(std::move(h), k.source.get(), k.destination.get(), k.service.get(), k.status,
                     k.flags, k.grpc, k.grpc_status);
      if (k.source_identity) h = H::combine(std::move(h), *k.source_identity);
      return h;
    }
  };

  Series& Find(const RequestRecord& request);
  SeriesRef Create(std::string labels);

  const size_t limit_;
  mutable std::mutex mutex_;
  StringMap<SeriesRef> series_;  // by labels
  SeriesRef overflow_;
  std::atomic<uint64_t> overflowed_{0};
  absl::flat_hash_map<Key, SeriesRef> recent_;  // the worker's; cleared when full
};

}  // namespace mesh::waypoint

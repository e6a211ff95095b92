// Everything that a scrape of this process answers. Components add a collector; the istio_tcp_*
// series of all workers are summed here.
//
// One a process, made by its main function and handed to whoever counts; thread-safe. A collector
// runs on the scraping thread, under the registry's lock: it reads atomics or takes a short lock of
// its own, and never calls back into the registry.
#pragma once

#include <absl/time/time.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ztunnel/core/telemetry/metrics_writer.h"
#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::telemetry {

class MetricsRegistry {
 public:
  using Collector = std::function<void(MetricsWriter&)>;

  MetricsRegistry() = default;
  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;

  // Runs in the order of adding, after process_* and before nothing else depends on it. The
  // collector is dropped with the handle.
  [[nodiscard]] std::shared_ptr<void> Add(Collector collector);

  std::string Render(MetricsFormat format);

  // Series a worker may hold; the rest is counted in one overflow series (default 20,000).
  void SetSeriesLimit(size_t limit);
  // Forgets series without an open connection that did not move since the last call and of which a
  // named end is gone: `alive(namespace, workload_name)` is false. Called every few minutes.
  void ExpireSeries(
      const std::function<bool(std::string_view ns, std::string_view workload)>& alive);

 private:
  friend class WorkerMetrics;
  void Register(std::shared_ptr<WorkerMetrics::Shard> shard);
  void RenderTcp(MetricsWriter& writer);

  std::mutex mutex_;
  std::vector<std::weak_ptr<Collector>> collectors_;
  std::vector<std::shared_ptr<WorkerMetrics::Shard>> shards_;
};

}  // namespace mesh::telemetry

#include "ztunnel/core/telemetry/registry.h"

#include <algorithm>
#include <map>

#include "ztunnel/core/telemetry/shard.h"

namespace mesh::telemetry {
namespace {

struct Totals {
  const TcpLabels* labels = nullptr;
  uint64_t opened = 0, received = 0, sent = 0;
  std::array<uint64_t, kResponseFlags> closed{}, failed{};

  void Add(const Series& series) {
    labels = &series.labels;
    opened += series.opened.load(std::memory_order_relaxed);
    received += series.bytes.received.load(std::memory_order_relaxed);
    sent += series.bytes.sent.load(std::memory_order_relaxed);
    for (int i = 0; i < kResponseFlags; ++i) {
      closed[i] += series.closed[i].load(std::memory_order_relaxed);
      failed[i] += series.failed[i].load(std::memory_order_relaxed);
    }
  }
};

std::string WithFlag(const TcpLabels& labels, ResponseFlag flag) {
  return labels.before_flags + FlagLabel(flag) + labels.after_flags;
}

const char* ReporterName(size_t i) { return i == 0 ? "source" : "destination"; }
const char* DirectionName(size_t i) { return i == 0 ? "inbound" : "outbound"; }

}  // namespace

std::shared_ptr<void> MetricsRegistry::Add(Collector collector) {
  auto held = std::make_shared<Collector>(std::move(collector));
  std::lock_guard lock(mutex_);
  collectors_.push_back(held);
  return held;
}

void MetricsRegistry::Register(std::shared_ptr<WorkerMetrics::Shard> shard) {
  std::lock_guard lock(mutex_);
  shards_.push_back(std::move(shard));
}

void MetricsRegistry::SetSeriesLimit(size_t limit) {
  std::lock_guard lock(mutex_);
  for (const auto& shard : shards_) shard->limit = limit;
}

std::string MetricsRegistry::Render(MetricsFormat format) {
  MetricsWriter writer(format);
  std::lock_guard lock(mutex_);
  std::erase_if(collectors_, [](const auto& weak) { return weak.expired(); });
  for (const auto& weak : collectors_) {
    if (const auto collector = weak.lock()) (*collector)(writer);
  }
  RenderTcp(writer);
  return std::move(writer).Finish();
}

void MetricsRegistry::RenderTcp(MetricsWriter& writer) {
  std::vector<SeriesRef> held;  // labels are referred to until the end, also of series that expire
  for (const auto& shard : shards_) {
    std::lock_guard lock(shard->mutex);
    for (const auto& [key, series] : shard->series) held.push_back(series);
    for (const auto& series : shard->overflow) {
      if (series != nullptr) held.push_back(series);
    }
  }
  std::map<std::string, Totals> totals;
  for (const auto& series : held) {
    totals[series->labels.before_flags + series->labels.after_flags].Add(*series);
  }

  writer.Family("istio_tcp_connections_opened", MetricType::kCounter,
                "The total number of TCP connections opened.");
  for (const auto& [key, t] : totals)
    writer.Sample(WithFlag(*t.labels, ResponseFlag::kNone), t.opened);
  const auto by_flag = [&](const std::array<uint64_t, kResponseFlags> Totals::* cells) {
    for (const auto& [key, t] : totals) {
      for (int i = 0; i < kResponseFlags; ++i) {
        const uint64_t value = (t.*cells)[i];
        if (value > 0) writer.Sample(WithFlag(*t.labels, static_cast<ResponseFlag>(i)), value);
      }
    }
  };
  writer.Family("istio_tcp_connections_closed", MetricType::kCounter,
                "The total number of TCP connections closed.");
  by_flag(&Totals::closed);
  writer.Family("istio_tcp_received_bytes", MetricType::kCounter,
                "The total number of bytes that clients sent to servers over TCP connections.");
  for (const auto& [key, t] : totals) {
    writer.Sample(WithFlag(*t.labels, ResponseFlag::kNone), t.received);
  }
  writer.Family("istio_tcp_sent_bytes", MetricType::kCounter,
                "The total number of bytes that servers sent to clients over TCP connections.");
  for (const auto& [key, t] : totals)
    writer.Sample(WithFlag(*t.labels, ResponseFlag::kNone), t.sent);
  writer.Family("istio_tcp_connections_failed", MetricType::kCounter,
                "The total number of TCP connections that ended with an error.");
  by_flag(&Totals::failed);

  writer.Family("istio_tcp_sockets_open", MetricType::kGauge,
                "The current number of open TCP sockets.");
  for (size_t i : {size_t{1}, size_t{0}}) {
    int64_t open = 0;
    bool seen = false;
    for (const auto& shard : shards_) {
      open += shard->sockets_open[i].load(std::memory_order_relaxed);
      seen = seen || shard->sockets_seen[i].load(std::memory_order_relaxed);
    }
    if (!seen) continue;
    std::string labels;
    AppendLabel(labels, "reporter", ReporterName(i));
    writer.SampleSigned(labels, open);
  }

  std::map<std::string, uint64_t> lookups;
  for (const auto& shard : shards_) {
    std::lock_guard lock(shard->mutex);
    for (const auto& [labels, count] : shard->host_lookups) lookups[labels] += count;
  }
  writer.Family("istio_on_demand_dns", MetricType::kCounter,
                "Connections that needed the address of an endpoint known by hostname only.");
  for (const auto& [labels, count] : lookups) writer.Sample(labels, count);

  const auto by_reason = [&](auto Cells, const char* label, auto name) {
    for (size_t i = 0; i < 2; ++i) {
      for (int reason = 0; reason < MESH_REASON_COUNT; ++reason) {
        uint64_t sum = 0;
        for (const auto& shard : shards_) {
          sum += ((*shard).*Cells)[i][reason].load(std::memory_order_relaxed);
        }
        if (sum == 0) continue;
        writer.Sample({{label, name(i)}, {"reason", ReasonLabel(static_cast<mesh_reason>(reason))}},
                      sum);
      }
    }
  };
  writer.Family("mesh_tunnel_connections_closed", MetricType::kCounter,
                "Connections that ended, by the reason that the access log gives.");
  by_reason(&WorkerMetrics::Shard::closed_by_reason, "reporter", ReporterName);
  writer.Family("mesh_tunnel_connections_refused", MetricType::kCounter,
                "Connections refused before it was known what they are, by reason.");
  by_reason(&WorkerMetrics::Shard::refused_by_reason, "direction", DirectionName);

  uint64_t buffered = 0, paused = 0;
  for (const auto& shard : shards_) {
    buffered += shard->buffered_bytes.load(std::memory_order_relaxed);
    paused += shard->reads_paused.load(std::memory_order_relaxed);
  }
  writer.Family("mesh_tunnel_buffered_bytes", MetricType::kGauge,
                "Received bytes held for applications that do not take them.");
  writer.Sample("", buffered);
  writer.Family("mesh_tunnel_reads_paused", MetricType::kCounter,
                "How often a tunnel was not read because too many bytes were held.");
  writer.Sample("", paused);

  uint64_t series = 0, overflowed = 0;
  for (const auto& shard : shards_) {
    std::lock_guard lock(shard->mutex);
    series += shard->series.size();
    overflowed += shard->overflowed.load(std::memory_order_relaxed);
  }
  writer.Family("mesh_metrics_series", MetricType::kGauge,
                "Series of connections held by all workers.");
  writer.Sample("", series);
  writer.Family("mesh_metrics_series_overflow", MetricType::kCounter,
                "Connections counted in the overflow series because the limit was reached.");
  writer.Sample("", overflowed);
}

void MetricsRegistry::ExpireSeries(
    const std::function<bool(std::string_view ns, std::string_view workload)>& alive) {
  const auto gone = [&](const std::string& ns, const std::string& workload) {
    return !workload.empty() && !alive(ns, workload);
  };
  std::lock_guard registry_lock(mutex_);
  for (const auto& shard : shards_) {
    std::lock_guard lock(shard->mutex);
    for (auto it = shard->series.begin(); it != shard->series.end();) {
      Series& s = *it->second;
      const uint64_t opened = s.opened.load(std::memory_order_relaxed);
      const bool idle = opened == s.ClosedTotal() && opened == s.opened_at_last_check;
      s.opened_at_last_check = opened;
      if (idle && (gone(s.source_ns, s.source_workload) ||
                   gone(s.destination_ns, s.destination_workload))) {
        s.expired.store(true, std::memory_order_release);
        shard->Forget(s);
        it = shard->series.erase(it);
      } else {
        ++it;
      }
    }
  }
}

}  // namespace mesh::telemetry

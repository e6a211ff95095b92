#include "ztunnel/waypoint/telemetry/request_metrics.h"

#include <fmt/format.h>

#include <map>

#include "ztunnel/core/telemetry/labels.h"
#include "ztunnel/core/telemetry/telemetry.h"
#include "ztunnel/waypoint/route/facts.h"

namespace mesh::waypoint {
namespace {

constexpr size_t kRecentLimit = 4096;
constexpr auto kRelaxed = std::memory_order_relaxed;

using telemetry::AppendLabel;

std::string LabelsOf(const RequestRecord& request) {
  std::string out;
  out.reserve(1024);
  AppendLabel(out, "reporter", "waypoint");
  telemetry::AppendSourceLabels(request.source, request.source_identity, out);
  // The endpoint proved who it is, too, when it is reached through a tunnel.
  std::optional<identity::Identity> destination;
  if (request.destination != nullptr && request.destination->protocol == state::Protocol::kHbone) {
    destination = request.destination->Identity();
  }
  telemetry::AppendDestinationLabels(request.service, request.destination, destination, out);
  const auto add = [&](std::string_view name, std::string_view value) {
    out.push_back(',');
    AppendLabel(out, name, value);
  };
  add("request_protocol", request.grpc ? "grpc" : "http");
  add("response_code", fmt::format("{}", request.status));
  if (request.grpc) add("grpc_response_status", request.grpc_status);
  add("response_flags", route::FlagsText(request.flags));
  add("connection_security_policy", request.source_identity ? "mutual_tls" : "none");
  return out;
}

// Foreign text becomes a label only when it is a status number.
bool IsGrpcStatus(std::string_view text) {
  return !text.empty() && text.size() <= 2 &&
         text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

void RequestMetrics::Histogram::Observe(double value) {
  size_t bucket = 0;
  while (bucket < kBuckets.size() && value > kBuckets[bucket]) ++bucket;
  telemetry::Bump(counts[bucket], 1);
  sum.store(sum.load(kRelaxed) + value, kRelaxed);
}

void RequestMetrics::Record(const RequestRecord& request) {
  Series& series = Find(request);
  telemetry::Bump(series.requests, 1);
  series.duration.Observe(absl::ToDoubleMilliseconds(request.duration));
  series.request_bytes.Observe(static_cast<double>(request.request_bytes));
  series.response_bytes.Observe(static_cast<double>(request.response_bytes));
}

RequestMetrics::Series& RequestMetrics::Find(const RequestRecord& given) {
  RequestRecord request = given;
  if (!IsGrpcStatus(request.grpc_status)) request.grpc_status = {};
  Key key{request.source, request.destination, request.service, request.source_identity,
          request.status, request.flags,       request.grpc,    std::string(request.grpc_status)};
  if (const auto it = recent_.find(key); it != recent_.end()) return *it->second;
  SeriesRef found = Create(LabelsOf(request));
  if (recent_.size() >= kRecentLimit) recent_.clear();
  return *recent_.emplace(std::move(key), std::move(found)).first->second;
}

RequestMetrics::SeriesRef RequestMetrics::Create(std::string labels) {
  std::lock_guard lock(mutex_);
  if (const auto it = series_.find(labels); it != series_.end()) return it->second;
  if (series_.size() >= limit_) {
    telemetry::Bump(overflowed_, 1);
    if (overflow_ == nullptr) {
      overflow_ = std::make_shared<Series>();
      overflow_->labels = LabelsOf(RequestRecord());
    }
    return overflow_;
  }
  auto made = std::make_shared<Series>();
  made->labels = labels;
  series_.emplace(std::move(labels), made);
  return made;
}

void RequestMetrics::Write(std::span<const RequestMetrics* const> workers,
                           telemetry::MetricsWriter& writer) {
  std::map<std::string_view, std::vector<SeriesRef>> all;
  uint64_t overflowed = 0;
  for (const RequestMetrics* worker : workers) {
    std::lock_guard lock(worker->mutex_);
    for (const auto& [labels, series] : worker->series_) all[series->labels].push_back(series);
    if (worker->overflow_ != nullptr) {
      all[worker->overflow_->labels].push_back(worker->overflow_);
    }
    overflowed += worker->overflowed_.load(kRelaxed);
  }
  writer.Family("istio_requests", telemetry::MetricType::kCounter,
                "The total number of requests handled.");
  for (const auto& [labels, list] : all) {
    uint64_t sum = 0;
    for (const SeriesRef& series : list) sum += series->requests.load(kRelaxed);
    writer.Sample(labels, sum);
  }
  const auto histogram = [&](const char* name, const char* help, Histogram Series::* cells) {
    writer.Family(name, telemetry::MetricType::kHistogram, help);
    for (const auto& [labels, list] : all) {
      std::array<uint64_t, kBuckets.size() + 1> counts{};
      double sum = 0;
      for (const SeriesRef& series : list) {
        const Histogram& h = (*series).*cells;
        for (size_t i = 0; i < counts.size(); ++i) counts[i] += h.counts[i].load(kRelaxed);
        sum += h.sum.load(kRelaxed);
      }
      writer.Histogram(labels, kBuckets, counts, sum);
    }
  };
  histogram("istio_request_duration_milliseconds",
            "Time from a request's head to the end of its answer.", &Series::duration);
  histogram("istio_request_bytes", "Bytes of request bodies.", &Series::request_bytes);
  histogram("istio_response_bytes", "Bytes of response bodies.", &Series::response_bytes);
  writer.Family("mesh_waypoint_metrics_series", telemetry::MetricType::kGauge,
                "Series of requests held by all workers.");
  writer.Sample("", static_cast<uint64_t>(all.size()));
  writer.Family("mesh_waypoint_metrics_series_overflow", telemetry::MetricType::kCounter,
                "Label sets counted in the overflow series because the limit was reached.");
  writer.Sample("", overflowed);
}

}  // namespace mesh::waypoint

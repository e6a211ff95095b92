#include "ztunnel/dns/metrics.h"

#include <algorithm>

#include "ztunnel/base/dns/message.h"
#include "ztunnel/core/telemetry/labels.h"
#include "ztunnel/core/telemetry/registry.h"

namespace mesh::dns {
namespace {

using telemetry::AppendLabel;
using telemetry::MetricType;

std::string Labels(uint16_t type, Transport transport, std::string_view service,
                   std::string_view revision) {
  std::string out;
  AppendLabel(out, "request_query_type", TypeName(type));
  out += ',';
  AppendLabel(out, "request_protocol", transport == Transport::kUdp ? "udp" : "tcp");
  out += ',';
  AppendLabel(out, "source_canonical_service", service.empty() ? "unknown" : service);
  out += ',';
  AppendLabel(out, "source_canonical_revision", revision.empty() ? "unknown" : revision);
  return out;
}

}  // namespace

Metrics::Metrics(telemetry::MetricsRegistry& registry) {
  registration_ = registry.Add([this](telemetry::MetricsWriter& writer) { Collect(writer); });
}

Metrics::Cells& Metrics::Find(uint16_t type, Transport transport, const state::Workload* client) {
  std::string labels = client == nullptr ? Labels(type, transport, "", "")
                                         : Labels(type, transport, client->canonical_name,
                                                  client->canonical_revision);
  const auto it = cells_.find(labels);
  if (it != cells_.end()) return it->second;
  if (cells_.size() >= kSeriesLimit) labels = Labels(type, transport, "overflow", "");
  return cells_[std::move(labels)];
}

void Metrics::Request(uint16_t type, Transport transport, const state::Workload* client) {
  std::lock_guard lock(mutex_);
  ++Find(type, transport, client).requests;
}

void Metrics::Forwarded(uint16_t type, Transport transport, const state::Workload* client) {
  std::lock_guard lock(mutex_);
  ++Find(type, transport, client).forwarded;
}

void Metrics::ForwardFailed(uint16_t type, Transport transport, const state::Workload* client) {
  std::lock_guard lock(mutex_);
  ++Find(type, transport, client).failed;
}

void Metrics::ForwardAnswered(uint16_t type, Transport transport, const state::Workload* client,
                              absl::Duration took) {
  const double seconds = absl::ToDoubleSeconds(took);
  std::lock_guard lock(mutex_);
  Cells& cells = Find(type, transport, client);
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++cells.took[static_cast<size_t>(bound - kBounds.begin())];
  cells.took_seconds += seconds;
}

void Metrics::Refused() {
  std::lock_guard lock(mutex_);
  ++refused_;
}

void Metrics::Collect(telemetry::MetricsWriter& writer) {
  std::lock_guard lock(mutex_);
  writer.Family("istio_dns_requests", MetricType::kCounter, "Total number of DNS requests.");
  for (const auto& [labels, cells] : cells_) writer.Sample(labels, cells.requests);
  writer.Family("istio_dns_upstream_requests", MetricType::kCounter,
                "Total number of DNS requests forwarded upstream.");
  for (const auto& [labels, cells] : cells_) {
    if (cells.forwarded > 0) writer.Sample(labels, cells.forwarded);
  }
  writer.Family("istio_dns_upstream_failures", MetricType::kCounter,
                "Total number of DNS requests that could not be forwarded or were not answered.");
  for (const auto& [labels, cells] : cells_) {
    if (cells.failed > 0) writer.Sample(labels, cells.failed);
  }
  writer.Family("istio_dns_upstream_request_duration_seconds", MetricType::kHistogram,
                "Time until the upstream answered.");
  for (const auto& [labels, cells] : cells_) {
    if (cells.forwarded > cells.failed) {
      writer.Histogram(labels, kBounds, cells.took, cells.took_seconds);
    }
  }
  writer.Family("mesh_dns_requests_refused", MetricType::kCounter,
                "DNS requests refused because a limit of the pod was reached.");
  writer.Sample("", refused_);
}

}  // namespace mesh::dns

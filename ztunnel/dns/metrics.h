// istio_dns_*: what the pods of this node asked, and how forwarding went. Thread-safe (one short
// lock a request: name service is no byte path). At most kSeriesLimit label sets; further ones are
// summed under source "overflow".
#pragma once

#include <absl/time/time.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "ztunnel/core/state/types.h"
#include "ztunnel/core/telemetry/metrics_writer.h"

namespace mesh::telemetry {
class MetricsRegistry;
}

namespace mesh::dns {

enum class Transport { kUdp, kTcp };

class Metrics {
 public:
  static constexpr size_t kSeriesLimit = 2000;
  explicit Metrics(telemetry::MetricsRegistry& registry);  // adds itself

  // `client` may be null: unknown.
  void Request(uint16_t type, Transport transport, const state::Workload* client);
  void Forwarded(uint16_t type, Transport transport, const state::Workload* client);
  void ForwardFailed(uint16_t type, Transport transport, const state::Workload* client);
  void ForwardAnswered(uint16_t type, Transport transport, const state::Workload* client,
                       absl::Duration took);
  void Refused();  // a limit of in-flight queries or connections was reached

  void Collect(telemetry::MetricsWriter& writer);

 private:
  static constexpr std::array<double, 6> kBounds = {0.0005, 0.001, 0.01, 0.1, 1, 5};
  struct Cells {
    uint64_t requests = 0, forwarded = 0, failed = 0;
    std::array<uint64_t, kBounds.size() + 1> took{};
    double took_seconds = 0;
  };
  Cells& Find(uint16_t type, Transport transport, const state::Workload* client);

  std::mutex mutex_;
  std::map<std::string, Cells> cells_;  // by rendered labels
  uint64_t refused_ = 0;
  std::shared_ptr<void> registration_;
};

}  // namespace mesh::dns

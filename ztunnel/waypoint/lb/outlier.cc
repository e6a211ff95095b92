#include "ztunnel/waypoint/lb/outlier.h"

#include <algorithm>

namespace mesh::lb {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr absl::Duration kMaxEjectionTime = absl::Seconds(300);

bool IsError(const ClusterOptions::Outlier& outlier, uint16_t status) {
  if (outlier.error_codes.empty()) return status >= 500 && status <= 599;
  return std::find(outlier.error_codes.begin(), outlier.error_codes.end(), status) !=
         outlier.error_codes.end();
}

bool IsGatewayError(uint16_t status) { return status == 502 || status == 503 || status == 504; }

// Of the hosts that are there: those that left took their ejection with them.
size_t Ejected(const Cluster& cluster) {
  return static_cast<size_t>(
      std::count_if(cluster.hosts().begin(), cluster.hosts().end(),
                    [](const Host& host) { return host.stats->ejected.load(kRelaxed); }));
}

void Eject(const Cluster& cluster, const Host& host, absl::Time now) {
  HostStats& stats = *host.stats;
  ClusterStats& total = cluster.stats();
  if (stats.ejected.load(kRelaxed)) return;
  if (100 * (Ejected(cluster) + 1) / cluster.hosts().size() >
      cluster.options().outlier->max_ejection_percent) {
    total.ejection_overflow.fetch_add(1, kRelaxed);
    return;
  }
  if (stats.ejected.exchange(true)) return;  // another worker was first
  total.ejections.fetch_add(1, kRelaxed);
  stats.times_ejected.fetch_add(1, kRelaxed);
  stats.changed_at_ns.store(absl::ToUnixNanos(now), kRelaxed);
}

// The counter reached its threshold with this very event.
bool Trips(std::atomic<uint32_t>& counter, uint32_t threshold) {
  if (counter.fetch_add(1, kRelaxed) + 1 != threshold) return false;
  counter.store(0, kRelaxed);
  return true;
}

void CountResponse(const Cluster& cluster, const Host& host, uint16_t status, absl::Time now) {
  const ClusterOptions::Outlier& outlier = *cluster.options().outlier;
  HostStats& stats = *host.stats;
  if (!IsError(outlier, status)) {
    stats.consecutive_5xx.store(0, kRelaxed);
    stats.consecutive_gateway.store(0, kRelaxed);
    return;
  }
  if (IsGatewayError(status)) {
    if (Trips(stats.consecutive_gateway, outlier.consecutive_gateway)) Eject(cluster, host, now);
  } else {
    stats.consecutive_gateway.store(0, kRelaxed);
  }
  if (Trips(stats.consecutive_5xx, outlier.consecutive_5xx)) Eject(cluster, host, now);
}

}  // namespace

void ReportStatus(const Cluster& cluster, const Host& host, uint16_t status, absl::Time now) {
  if (!cluster.options().outlier) return;
  if (cluster.options().outlier->split_local) host.stats->consecutive_local.store(0, kRelaxed);
  CountResponse(cluster, host, status, now);
}

void ReportFailure(const Cluster& cluster, const Host& host, LocalFailure failure, absl::Time now) {
  if (!cluster.options().outlier) return;
  const ClusterOptions::Outlier& outlier = *cluster.options().outlier;
  if (outlier.split_local) {
    if (Trips(host.stats->consecutive_local, outlier.consecutive_local)) Eject(cluster, host, now);
    return;
  }
  const uint16_t status = failure == LocalFailure::kConnect   ? 503
                          : failure == LocalFailure::kTimeout ? 504
                                                              : 500;
  CountResponse(cluster, host, status, now);
}

void Sweep(const Cluster& cluster, absl::Time now) {
  if (!cluster.options().outlier) return;
  const ClusterOptions::Outlier& outlier = *cluster.options().outlier;
  for (const Host& host : cluster.hosts()) {
    HostStats& stats = *host.stats;
    const absl::Duration since = now - absl::FromUnixNanos(stats.changed_at_ns.load(kRelaxed));
    const uint32_t times = stats.times_ejected.load(kRelaxed);
    if (stats.ejected.load(kRelaxed)) {
      const absl::Duration time = std::min(outlier.base_ejection_time * times,
                                           std::max(kMaxEjectionTime, outlier.base_ejection_time));
      if (since < time) continue;
      stats.consecutive_5xx.store(0, kRelaxed);
      stats.consecutive_gateway.store(0, kRelaxed);
      stats.consecutive_local.store(0, kRelaxed);
      stats.changed_at_ns.store(absl::ToUnixNanos(now), kRelaxed);
      stats.ejected.store(false);
    } else if (times > 0 && since >= outlier.interval) {
      stats.times_ejected.store(times - 1, kRelaxed);
    }
  }
}

void SweepIfDue(const Cluster& cluster, absl::Time now) {
  if (!cluster.options().outlier) return;
  std::atomic<int64_t>& last = cluster.stats().swept_at_ns;
  if (now - absl::FromUnixNanos(last.load(kRelaxed)) < cluster.options().outlier->interval) return;
  last.store(absl::ToUnixNanos(now), kRelaxed);
  Sweep(cluster, now);
}

bool InPanic(const Cluster& cluster) {
  if (!cluster.options().outlier || cluster.hosts().empty()) return false;
  const uint32_t percent = cluster.options().outlier->min_health_percent;
  if (percent == 0) return false;
  const size_t healthy = cluster.hosts().size() - Ejected(cluster);
  return healthy * 100 < cluster.hosts().size() * percent;
}

}  // namespace mesh::lb

// Outlier detection: which endpoints are left out for a while, by how their answers went.
//
// The algorithm is that of Envoy's consecutive errors (docs/ARCHITECTURE.md has the numbers):
// counters are per endpoint and shared by the workers. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "ztunnel/waypoint/lb/cluster.h"

namespace mesh::lb {

enum class LocalFailure : uint8_t { kConnect, kTimeout, kReset };

// An attempt ended: with the status of an answer, or with a failure of the way. Overflow of our own
// limits is not told. May eject the host.
void ReportStatus(const Cluster& cluster, const Host& host, uint16_t status, absl::Time now);
void ReportFailure(const Cluster& cluster, const Host& host, LocalFailure failure, absl::Time now);

// Takes back endpoints whose time is over and forgets old sins. To be called every
// `options().outlier->interval` by one thread; SweepIfDue knows when.
void Sweep(const Cluster& cluster, absl::Time now);
void SweepIfDue(const Cluster& cluster, absl::Time now);

// Below `min_health_percent` the health of endpoints is ignored.
bool InPanic(const Cluster& cluster);

}  // namespace mesh::lb

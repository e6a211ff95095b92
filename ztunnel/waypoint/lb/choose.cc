#include "ztunnel/waypoint/lb/choose.h"

#include <absl/random/random.h>

#include <algorithm>

#include "ztunnel/waypoint/lb/outlier.h"

namespace mesh::lb {
namespace {

constexpr int kTries = 5;

bool Usable(const Host& host) { return !host.stats->ejected.load(std::memory_order_relaxed); }

const Host& Any(std::span<const Host> hosts, absl::BitGenRef random) {
  return hosts[absl::Uniform<size_t>(random, 0, hosts.size())];
}

// Two choices by chance, the one with fewer requests in progress.
const Host& LeastRequest(std::span<const Host> hosts, absl::BitGenRef random) {
  const Host& one = Any(hosts, random);
  const Host& other = Any(hosts, random);
  return other.stats->active_requests.load(std::memory_order_relaxed) <
                 one.stats->active_requests.load(std::memory_order_relaxed)
             ? other
             : one;
}

const Host& Next(const Cluster& cluster, absl::BitGenRef random) {
  const std::span<const Host> hosts = cluster.hosts();
  switch (cluster.options().simple) {
    case ClusterOptions::Simple::kRoundRobin:
      return hosts[cluster.stats().turn.fetch_add(1, std::memory_order_relaxed) % hosts.size()];
    case ClusterOptions::Simple::kRandom:
      return Any(hosts, random);
    default:
      return LeastRequest(hosts, random);
  }
}

}  // namespace

const Host* Choose(const Cluster& cluster, const ChooseInput& input, absl::BitGenRef random) {
  const std::span<const Host> hosts = cluster.hosts();
  if (hosts.empty()) return nullptr;
  const auto tried = [&](const Host& host) {
    return std::find(input.tried.begin(), input.tried.end(), &host) != input.tried.end();
  };
  // Who was ejected under a rule that is gone is no more.
  const bool panic = !cluster.options().outlier || InPanic(cluster);
  const Host* usable = nullptr;
  for (int i = 0; i < kTries; ++i) {
    const Host& host = Next(cluster, random);
    if (!panic && !Usable(host)) continue;
    usable = &host;
    if (!tried(host)) return usable;
  }
  // Chance did not find one that is as wanted: look at all.
  for (const Host& host : hosts) {
    if (!panic && !Usable(host)) continue;
    if (!tried(host)) return &host;
    if (usable == nullptr) usable = &host;
  }
  return usable;
}

}  // namespace mesh::lb

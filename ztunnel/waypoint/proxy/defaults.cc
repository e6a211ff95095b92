#include "ztunnel/waypoint/proxy/defaults.h"

#include <algorithm>

#include "ztunnel/waypoint/lb/build.h"

namespace mesh::waypoint {

const route::RetryPolicy& DefaultRetryPolicy() {
  static const route::RetryPolicy policy = [] {
    route::RetryPolicy p;
    p.attempts = 2;
    p.on = route::kRetryConnectFailure | route::kRetryRefusedStream | route::kRetryUnavailable |
           route::kRetryCancelled | route::kRetryStatusCodes;
    p.avoid_previous_hosts = true;
    return p;
  }();
  return policy;
}

lb::ClusterRef DefaultCluster(const Config& config, const Target& target) {
  if (target.workload != nullptr) return lb::WorkloadCluster(target.workload, target.asked);
  return config.FindCluster(lb::ClusterName(target.port, "", target.service->hostname.view()));
}

bool SpeaksHttp2(const lb::ClusterOptions& options, const Target& target,
                 const http::RequestHead& head) {
  switch (options.protocol) {
    case lb::ClusterOptions::Protocol::kHttp2:
      return true;
    case lb::ClusterOptions::Protocol::kAsClient:
      return head.version == http::Version::kHttp2;
    case lb::ClusterOptions::Protocol::kHttp1:
      break;
  }
  // A workload by its address: nobody said what its port speaks, but the client knows.
  return target.workload != nullptr && head.version == http::Version::kHttp2;
}

bool AdmitsRetry(const lb::Cluster& cluster) {
  const lb::ClusterOptions& options = cluster.options();
  const lb::ClusterStats& stats = cluster.stats();
  const uint32_t retries = stats.retries.load(std::memory_order_relaxed);
  if (options.retry_budget) {
    const uint32_t active = stats.requests.load(std::memory_order_relaxed) +
                            stats.pending.load(std::memory_order_relaxed);
    const auto share = static_cast<uint32_t>(active * options.retry_budget->percent / 100);
    return retries < std::max(share, options.retry_budget->min_concurrency);
  }
  return options.max_retries == 0 || retries < options.max_retries;
}

}  // namespace mesh::waypoint

// A cluster: how one service port, or a subset of its endpoints, is spoken to, and to whom.
//
// Immutable, made by the main thread at every publish and shared by the workers, as the snapshot
// that holds it. What is counted (ClusterStats, HostStats) outlives snapshots: it is handed on from
// one to the next by name and address. Counters are per process, not per worker, as circuit
// breakers and outlier detection need.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ztunnel/core/state/types.h"

namespace mesh::l7::v1 {
class Cluster;
}

namespace mesh::lb {

// 0 where a number is a limit: none.
struct ClusterOptions {
  enum class Protocol { kHttp1, kHttp2, kAsClient };
  enum class Simple { kLeastRequest, kRoundRobin, kRandom, kPassthrough };
  struct ConsistentHash {
    enum class Key { kHeader, kCookie, kSourceIp, kQueryParameter };
    Key key = Key::kHeader;
    std::string name;
    std::string cookie_path;
    std::optional<absl::Duration> cookie_ttl;  // none: never generated; zero: of the session
    std::vector<std::pair<std::string, std::string>> cookie_attributes;
    uint64_t ring_size = 1024;
    uint64_t maglev_size = 0;  // not 0: Maglev instead of a ring
  };
  struct Warmup {
    absl::Duration duration;
    double minimum_percent = 10;
    double aggression = 1;
  };
  struct Outlier {
    uint32_t consecutive_5xx = 5;
    uint32_t consecutive_gateway = 0;
    bool split_local = false;
    uint32_t consecutive_local = 5;
    absl::Duration interval = absl::Seconds(10);
    absl::Duration base_ejection_time = absl::Seconds(30);
    uint32_t max_ejection_percent = 10;
    uint32_t min_health_percent = 0;
    std::vector<uint32_t> error_codes;
  };
  struct RetryBudget {
    double percent = 20;
    uint32_t min_concurrency = 3;
    absl::Duration interval;
  };
  struct Tls {
    bool mutual = false;
    std::string sni;
    std::vector<std::string> subject_alt_names;
    std::string ca_certificates, client_certificate, private_key;
    bool insecure_skip_verify = false;
  };

  std::string service;  // namespace/hostname
  uint16_t port = 0;
  std::string subset;
  std::map<std::string, std::string> subset_labels;
  std::string origin;
  Protocol protocol = Protocol::kHttp1;
  bool external = false;

  Simple simple = Simple::kLeastRequest;
  std::optional<ConsistentHash> hash;
  std::optional<Warmup> warmup;

  uint32_t max_connections = 0;
  absl::Duration connect_timeout = absl::Seconds(10);
  std::optional<absl::Duration> max_connection_duration;
  absl::Duration tcp_idle_timeout = absl::Hours(1);  // infinite: never
  uint32_t max_pending_requests = 0;
  uint32_t max_requests = 0;
  uint32_t max_requests_per_connection = 0;
  uint32_t max_retries = 0;
  absl::Duration idle_timeout = absl::Hours(1);  // infinite: never
  uint32_t max_concurrent_streams = 0;
  std::optional<absl::Duration> keep_alive_interval, keep_alive_timeout;

  std::optional<Outlier> outlier;
  std::optional<RetryBudget> retry_budget;
  std::optional<Tls> tls;
  uint32_t proxy_protocol = 0;
};
// InvalidArgument names the field.
absl::StatusOr<ClusterOptions> ParseCluster(const mesh::l7::v1::Cluster& proto);

// outbound|PORT|SUBSET|HOSTNAME
std::string ClusterName(uint16_t port, std::string_view subset, std::string_view hostname);

// Of one endpoint in one cluster. Written by all workers.
struct HostStats {
  std::atomic<uint32_t> active_requests{0};
  std::atomic<uint32_t> consecutive_5xx{0}, consecutive_gateway{0}, consecutive_local{0};
  std::atomic<bool> ejected{false};
  std::atomic<uint32_t> times_ejected{0};  // the multiplier
  std::atomic<int64_t> changed_at_ns{0};   // when it was ejected or came back
  std::atomic<int64_t> added_at_ns{0};     // for warm-up
};

struct ClusterStats {
  std::atomic<uint32_t> connections{0}, pending{0}, requests{0}, retries{0};
  std::atomic<uint64_t> connection_overflow{0}, pending_overflow{0}, request_overflow{0},
      retry_overflow{0}, ejections{0}, ejection_overflow{0};
  std::atomic<uint32_t> turn{0};  // of round robin
  std::atomic<int64_t> swept_at_ns{0};
};

struct Host {
  state::WorkloadRef workload;  // null: no workload of the mesh
  SocketAddress address;        // where the application listens
  std::string hostname;         // not empty: to be looked up, `address` has only the port
  uint32_t weight = 1;
  std::shared_ptr<HostStats> stats;
};

class Cluster {
 public:
  Cluster(std::string name, ClusterOptions options, std::vector<Host> hosts,
          std::shared_ptr<ClusterStats> stats)
      : name_(std::move(name)),
        options_(std::move(options)),
        hosts_(std::move(hosts)),
        stats_(std::move(stats)) {}

  const std::string& name() const { return name_; }
  const ClusterOptions& options() const { return options_; }
  std::span<const Host> hosts() const { return hosts_; }
  ClusterStats& stats() const { return *stats_; }
  const std::shared_ptr<ClusterStats>& shared_stats() const { return stats_; }

 private:
  const std::string name_;
  const ClusterOptions options_;
  const std::vector<Host> hosts_;
  const std::shared_ptr<ClusterStats> stats_;
};
using ClusterRef = std::shared_ptr<const Cluster>;

}  // namespace mesh::lb

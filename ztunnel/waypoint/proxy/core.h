// What the parts of one worker of a waypoint share.
#pragma once

#include <absl/random/random.h>
#include <absl/time/time.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/core/hbone/pool.h"
#include "ztunnel/core/identity/certificate_manager.h"
#include "ztunnel/core/identity/peer_verifier.h"
#include "ztunnel/core/net/buffer.h"
#include "ztunnel/core/net/host_resolver.h"
#include "ztunnel/core/telemetry/telemetry.h"
#include "ztunnel/waypoint/config/config.h"
#include "ztunnel/waypoint/http/path.h"
#include "ztunnel/waypoint/http/stream.h"
#include "ztunnel/waypoint/telemetry/request_metrics.h"

namespace mesh::waypoint {

struct Options {
  identity::Identity self;  // of the waypoint's service account
  Self where;
  std::string cluster_id = "Kubernetes";
  uint16_t hbone_port = 15008;
  uint16_t plain_port = 0;  // a listener without TLS, for tests; 0: none
  bool ipv6 = true;
  http::Limits limits;
  http::PathNormalization path_normalization = http::PathNormalization::kBase;
  size_t retry_buffer_bytes = 64 << 10;  // of a request's body, for a retry; above it, none
  size_t max_streams = 100'000;          // of one worker: 503 UO beyond
  size_t max_tunnels = 10'000;
  absl::Duration handshake_timeout = absl::Seconds(10);
  absl::Duration detect_timeout = absl::Seconds(5);  // for the first bytes; then it is TCP
  absl::Duration stream_idle_timeout = absl::Minutes(5);
};

class Mirrors;
class UpstreamPool;

struct Core {
  Core(base::EventLoop& l, const Options& o, identity::CertificateManager& c,
       telemetry::WorkerMetrics& m);
  ~Core();

  base::EventLoop& loop;
  const Options& options;
  identity::CertificateManager& certificates;
  telemetry::WorkerMetrics& metrics;
  identity::PeerVerifier verifier;
  RequestMetrics requests;
  net::HostResolver* hosts = nullptr;
  ConfigRef config;
  net::SharedBuffers buffers;
  absl::BitGen random;
  size_t streams = 0;
  hbone::Pool tunnels;  // to endpoints
  std::unique_ptr<UpstreamPool> upstreams;
  std::unique_ptr<Mirrors> mirrors;
};

}  // namespace mesh::waypoint

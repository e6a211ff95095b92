#include "ztunnel/waypoint/proxy/core.h"

#include "ztunnel/waypoint/proxy/mirror.h"
#include "ztunnel/waypoint/proxy/upstream_pool.h"

namespace mesh::waypoint {
namespace {

hbone::Pool::Options PoolOptions() {
  hbone::Pool::Options options;
  options.connection.h2.stream_window_bytes = 1 << 20;
  return options;
}

}  // namespace

Core::Core(base::EventLoop& l, const Options& o, identity::CertificateManager& c,
           telemetry::WorkerMetrics& m)
    : loop(l),
      options(o),
      certificates(c),
      metrics(m),
      tunnels(loop, buffers, certificates, verifier, nullptr, PoolOptions()),
      upstreams(std::make_unique<UpstreamPool>(*this)),
      mirrors(std::make_unique<Mirrors>(*this)) {}

Core::~Core() = default;

}  // namespace mesh::waypoint

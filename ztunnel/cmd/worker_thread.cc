#include "ztunnel/cmd/worker_thread.h"

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>

namespace mesh::cmd {
namespace {

constexpr size_t kLeastPart = 256;

dns::Config DnsConfig(const Settings& settings) {
  dns::Config config;
  config.resolver.cluster_id = settings.tunnel.cluster_id;
  config.resolver.cluster_domain = settings.cluster_domain;
  config.resolver.ipv6 = settings.tunnel.ipv6;
  config.resolver.preferred_namespace = settings.preferred_namespace;
  config.port = settings.dns_port;
  config.fallback_servers = dns::ReadNameservers(settings.resolv_conf);
  return config;
}

// A pod's part of the descriptors of the process, and a worker's of what the process may use.
tunnel::Config TunnelConfig(int index, const Settings& settings) {
  tunnel::Config config = settings.tunnel;
  const size_t workers = static_cast<size_t>(settings.worker_threads);
  // Without SO_REUSEPORT a port of a pod has one listener.
  config.listens = config.reuse_port || index == 0;
  config.buffered_bytes /= workers;
  if (rlimit limit{}; ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    const size_t part = std::max<size_t>(kLeastPart, limit.rlim_cur / 8 / workers);
    config.fair_connections_per_pod = part;
    config.scarce_descriptor =
        static_cast<int>(std::min<rlim_t>(limit.rlim_cur / 4 * 3, std::numeric_limits<int>::max()));
    config.max_tunnels_per_pod = std::min(config.max_tunnels_per_pod, part);
  }
  return config;
}

}  // namespace

WorkerThread::WorkerThread(int index, const Settings& settings,
                           identity::CertificateManager& certificates,
                           telemetry::MetricsRegistry& registry, telemetry::AccessLog& log,
                           dns::Metrics* dns_metrics)
    : index_(index),
      metrics_(registry, log),
      tunnel_(loop_, TunnelConfig(index, settings), certificates, metrics_) {
  if (dns_metrics != nullptr) {
    dns_ = std::make_unique<dns::Worker>(loop_, DnsConfig(settings), *dns_metrics);
  }
}

WorkerThread::~WorkerThread() {
  loop_.Stop();
  if (thread_.joinable()) thread_.join();
}

void WorkerThread::Start() {
  thread_ = std::thread([this] { loop_.Run(); });
  ::pthread_setname_np(thread_.native_handle(), fmt::format("worker-{}", index_).c_str());
}

void WorkerThread::SetState(state::MeshStateRef mesh) {
  loop_.Post([this, mesh = std::move(mesh)] {
    tunnel_.SetState(mesh);
    if (dns_ != nullptr) dns_->SetState(mesh);
  });
}

void WorkerThread::SetRevocations(identity::RevocationListsRef lists) {
  loop_.Post(
      [this, lists = std::move(lists)]() mutable { tunnel_.SetRevocations(std::move(lists)); });
}

void WorkerThread::Drain(absl::Duration deadline, std::function<void()> done) {
  loop_.Post([this, deadline, done = std::move(done)] {
    // Name service has no connections worth waiting for; a successor takes its place.
    if (dns_ != nullptr) dns_->RemoveAll();
    tunnel_.Drain(deadline, done);
  });
}

}  // namespace mesh::cmd

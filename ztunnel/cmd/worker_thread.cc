#include "ztunnel/cmd/worker_thread.h"

#include <pthread.h>

namespace mesh::cmd {
namespace {

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

}  // namespace

WorkerThread::WorkerThread(const Settings& settings, identity::CertificateManager& certificates,
                           dns::Metrics* dns_metrics)
    : tunnel_(loop_, settings.tunnel, certificates, metrics_) {
  if (dns_metrics != nullptr) {
    dns_ = std::make_unique<dns::Worker>(loop_, DnsConfig(settings), *dns_metrics);
  }
}

WorkerThread::~WorkerThread() {
  loop_.Stop();
  if (thread_.joinable()) thread_.join();
}

void WorkerThread::Start(int index) {
  thread_ = std::thread([this] { loop_.Run(); });
  ::pthread_setname_np(thread_.native_handle(), fmt::format("worker-{}", index).c_str());
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

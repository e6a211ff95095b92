#include "ztunnel/waypoint/proxy/worker.h"

#include "ztunnel/waypoint/proxy/upstream_pool.h"

namespace mesh::waypoint {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(20);

}  // namespace

Worker::Worker(base::EventLoop& loop, const Options& options,
               identity::CertificateManager& certificates, telemetry::WorkerMetrics& metrics,
               net::HostResolver& hosts)
    : core_(loop, options, certificates, metrics), downstreams_(core_), door_(core_, downstreams_) {
  core_.hosts = &hosts;
}

Worker::~Worker() = default;

void Worker::Drain(absl::Duration deadline, std::function<void()> done) {
  door_.Drain();
  downstreams_.Drain();
  tasks_.Start(WaitForTheLast(deadline, std::move(done)));
}

base::Task<void> Worker::WaitForTheLast(absl::Duration deadline, std::function<void()> done) {
  const absl::Time end = core_.loop.Now() + deadline;
  while (core_.loop.Now() < end && !(door_.empty() && core_.streams == 0)) {
    co_await base::Sleep(core_.loop, kLook);
  }
  done();
}

}  // namespace mesh::waypoint

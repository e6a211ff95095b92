#include "ztunnel/tunnel/worker.h"

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/tunnel/pod_runtime.h"
#include "ztunnel/tunnel/worker_core.h"

namespace mesh::tunnel {
namespace {

constexpr absl::Duration kDrainCheck = absl::Milliseconds(50);

absl::Status Drained() {
  return telemetry::WithReason(Cancelled("the proxy drained and the deadline passed"),
                               MESH_REASON_DRAINED);
}

absl::Status Removed() {
  return telemetry::WithReason(Cancelled("the workload left"), MESH_REASON_WORKLOAD_REMOVED);
}

}  // namespace

class Worker::Impl {
 public:
  Impl(base::EventLoop& loop, Config config, identity::CertificateManager& certificates,
       telemetry::WorkerMetrics& metrics)
      : core(loop, std::move(config), certificates, metrics) {}
  ~Impl() {
    for (const auto timer : {sweep, deadline}) {
      if (timer != 0) core.loop.CancelTimer(timer);
    }
  }

  template <typename Fn>
  void ForEachPod(Fn fn) const {
    for (const auto& [uid, pod] : core.pods) fn(*pod);
    for (const auto& pod : core.draining) fn(*pod);
  }

  void Remove(std::string_view uid, Removal removal) {
    if (removal == Removal::kAbort) {
      ForEachPod([&](PodRuntime& pod) {
        for (LiveConnection* live : pod.live) {
          if (live->destination_uid != uid && pod.pod->uid != uid) continue;
          // The pod's own tasks are gone before they could say why.
          if (pod.pod->uid == uid && live->record != nullptr) live->record->Finish(Removed());
          live->Abort(Removed());
        }
      });
      std::erase_if(core.draining, [&](const auto& pod) { return pod->pod->uid == uid; });
    }
    const auto it = core.pods.find(uid);
    if (it == core.pods.end()) return;
    std::unique_ptr<PodRuntime> pod = std::move(it->second);
    core.pods.erase(it);
    const auto found =
        core.by_workload.find(state::PodUid(core.config.cluster_id, pod->pod->ns, pod->pod->name));
    if (found != core.by_workload.end() && found->second == pod->pod) core.by_workload.erase(found);
    if (removal == Removal::kAbort) return;
    pod->Drain();
    core.draining.push_back(std::move(pod));
    Sweep();
  }

  // Forgets pods whose last connection has ended.
  void Sweep() {
    if (sweep != 0) core.loop.CancelTimer(std::exchange(sweep, 0));
    std::erase_if(core.draining, [](const auto& pod) { return pod->Idle(); });
    if (!core.draining.empty()) {
      sweep = core.loop.After(kDrainCheck, [this] {
        sweep = 0;
        Sweep();
      });
      return;
    }
    if (drained && core.pods.empty()) {
      if (deadline != 0) core.loop.CancelTimer(std::exchange(deadline, 0));
      std::exchange(drained, nullptr)();
    }
  }

  void Drain(absl::Duration limit, std::function<void()> done) {
    drained = std::move(done);
    deadline = core.loop.After(limit, [this] {
      deadline = 0;
      ForEachPod([](PodRuntime& pod) {
        for (LiveConnection* live : pod.live) live->Abort(Drained());
      });
      core.draining.clear();
      Sweep();
    });
    while (!core.pods.empty()) Remove(core.pods.begin()->second->pod->uid, Removal::kDrain);
    Sweep();
  }

  WorkerCore core;
  base::EventLoop::TimerId sweep = 0;
  base::EventLoop::TimerId deadline = 0;
  std::function<void()> drained;
};

Worker::Worker(base::EventLoop& loop, Config config, identity::CertificateManager& certificates,
               telemetry::WorkerMetrics& metrics)
    : impl_(std::make_unique<Impl>(loop, std::move(config), certificates, metrics)) {}

Worker::~Worker() = default;

void Worker::SetState(state::MeshStateRef state) {
  impl_->core.state = std::move(state);
  for (base::Event* waiter : impl_->core.state_waiters) waiter->Set();
  if (impl_->core.state != nullptr) impl_->core.policy_watch.OnState();
}

void Worker::SetDemand(Demand demand) { impl_->core.demand = std::move(demand); }

void Worker::SetHostResolver(net::HostResolver& hosts) { impl_->core.hosts = &hosts; }

void Worker::SetRevocations(identity::RevocationListsRef lists) {
  impl_->core.verifier.SetRevocations(std::move(lists));
  impl_->ForEachPod([](PodRuntime& pod) { pod.CloseRevoked(); });
}

const identity::PeerVerifier::Counters& Worker::peer_counters() const {
  return impl_->core.verifier.counters();
}

uint64_t Worker::handshakes() const { return impl_->core.handshakes; }

absl::Status Worker::AddPod(PodRef pod) {
  WorkerCore& core = impl_->core;
  if (core.pods.contains(pod->uid)) return AlreadyExists("pod {} is already added", pod->uid);
  auto runtime = std::make_unique<PodRuntime>(core, pod);
  RETURN_IF_ERROR(runtime->Listen());
  // The proxy's own pod has no short way in: its one port is guarded where tunnels end.
  if (!pod->only_port) {
    core.by_workload[state::PodUid(core.config.cluster_id, pod->ns, pod->name)] = pod;
  }
  core.pods.emplace(pod->uid, std::move(runtime));
  return absl::OkStatus();
}

void Worker::RemovePod(std::string_view uid, Removal removal) {
  impl_->Remove(std::string(uid), removal);
}

void Worker::Drain(absl::Duration deadline, std::function<void()> done) {
  impl_->Drain(deadline, std::move(done));
}

std::vector<ActiveConnection> Worker::ActiveConnections() const {
  std::vector<ActiveConnection> result;
  impl_->ForEachPod([&](PodRuntime& pod) {
    for (const LiveConnection* live : pod.live) {
      ActiveConnection& connection = result.emplace_back(live->info);
      if (live->record == nullptr) continue;
      connection.received_bytes = live->record->received();
      connection.sent_bytes = live->record->sent();
    }
  });
  return result;
}

size_t Worker::pods() const { return impl_->core.pods.size(); }

size_t Worker::connections() const {
  size_t n = 0;
  impl_->ForEachPod([&](PodRuntime& pod) { n += pod.live.size(); });
  return n;
}

}  // namespace mesh::tunnel

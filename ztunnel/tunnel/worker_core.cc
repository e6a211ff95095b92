#include "ztunnel/tunnel/worker_core.h"

#include "ztunnel/base/async/event.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/telemetry/shard.h"
#include "ztunnel/tunnel/pod_runtime.h"

namespace mesh::tunnel {

WorkerCore::WorkerCore(base::EventLoop& l, Config c, identity::CertificateManager& m,
                       telemetry::WorkerMetrics& t)
    : loop(l), config(std::move(c)), certificates(m), metrics(t) {
  buffers.budget.SetLimit(config.buffered_bytes);
  buffers.budget.Mirror(metrics.shard().buffered_bytes, metrics.shard().reads_paused);
}

WorkerCore::~WorkerCore() {
  // One by one: a pod's tasks look at the others.
  draining.clear();
  while (!pods.empty()) pods.erase(pods.begin());
}

PodRef WorkerCore::FindLocalPod(const state::Workload& workload) const {
  const auto it = by_workload.find(workload.uid.view());
  if (it == by_workload.end() || it->second->service_account != workload.service_account)
    return nullptr;
  // A pod of the same name may run elsewhere already while the old one is being taken down here.
  const std::string& here = config.node_name;
  if (!here.empty() && !workload.node.empty() && workload.node != here) return nullptr;
  return it->second;
}

state::WorkloadRef WorkerCore::WorkloadOf(const Pod& pod) const {
  return state == nullptr
             ? nullptr
             : state->FindPod(config.cluster_id, pod.ns, pod.name, pod.service_account);
}

bool WorkerCore::IsIllegalPort(uint16_t port) const {
  if (port == 0 || port == config.outbound_port || port == config.inbound_plaintext_port ||
      port == config.hbone_port) {
    return true;
  }
  return std::find(config.illegal_ports.begin(), config.illegal_ports.end(), port) !=
         config.illegal_ports.end();
}

net::SocketOptions WorkerCore::AppSocketOptions() const {
  net::SocketOptions options;
  options.keepalive = config.keepalive;
  options.keepalive_time = config.keepalive_time;
  options.keepalive_interval = config.keepalive_interval;
  options.keepalive_retries = config.keepalive_retries;
  options.user_timeout = config.user_timeout;
  return options;
}

net::SocketOptions WorkerCore::TunnelSocketOptions() const {
  net::SocketOptions options = AppSocketOptions();
  options.unsent_bytes = config.tunnel_unsent_bytes;
  options.congestion_control = config.tunnel_congestion_control;
  return options;
}

void WorkerCore::ConnectAs(const IpAddress& source, net::ConnectTarget& app) const {
  const IpAddress& to = app.address.ip;
  if (!config.original_source || source.IsV4() != to.IsV4() || source == to) return;
  app.source = source;
  app.mark = config.packet_mark;
}

hbone::Connection::Options WorkerCore::TunnelOptions() const {
  hbone::Connection::Options options;
  options.h2.stream_window_bytes = config.stream_window_bytes;
  options.h2.connection_window_bytes = config.connection_window_bytes;
  options.h2.frame_bytes = config.frame_bytes;
  options.handshake_timeout = config.handshake_timeout;
  options.ping_interval = config.ping_interval;
  options.ping_timeout = config.ping_timeout;
  return options;
}

LiveConnection::LiveConnection(WorkerCore& core, PodRuntime& pod, telemetry::Direction direction)
    : core_(core), list_(pod.live), place_(list_.insert(list_.end(), this)) {
  info.pod_uid = pod.pod->uid;
  info.direction = direction;
  core_.metrics.SocketOpened(direction == telemetry::Direction::kOutbound
                                 ? telemetry::Reporter::kSource
                                 : telemetry::Reporter::kDestination);
}

LiveConnection::~LiveConnection() {
  core_.policy_watch.End(*this);
  list_.erase(place_);
  core_.metrics.SocketClosed(info.direction == telemetry::Direction::kOutbound
                                 ? telemetry::Reporter::kSource
                                 : telemetry::Reporter::kDestination);
}

base::Task<absl::Status> LiveConnection::Run(Relay& relay) {
  if (aborted_) relay.Abort(*aborted_);
  relay_ = &relay;
  // As long as its applications want; Abort and the owner of the task end it.
  co_await relay.Done().Wait();
  relay_ = nullptr;
  co_return relay.result();
}

void LiveConnection::Abort(absl::Status status) {
  if (aborted_) return;
  aborted_ = std::move(status);
  if (relay_ != nullptr) relay_->Abort(*aborted_);
}

namespace {

struct NextState {
  explicit NextState(WorkerCore& core)
      : event(core.loop), list(core.state_waiters), place(list.insert(list.end(), &event)) {}
  ~NextState() { list.erase(place); }
  NextState(const NextState&) = delete;
  NextState& operator=(const NextState&) = delete;

  base::Event event;
  std::list<base::Event*>& list;
  std::list<base::Event*>::iterator place;
};

}  // namespace

base::Task<state::WorkloadRef> WaitForWorkload(WorkerCore& core, PodRef pod) {
  if (core.demand && core.WorkloadOf(*pod) == nullptr) {
    co_await AskFor(core.loop, core.demand,
                    state::PodUid(core.config.cluster_id, pod->ns, pod->name),
                    core.config.workload_wait);
  }
  const absl::Time end = core.loop.Now() + core.config.workload_wait;
  NextState next(core);
  for (;;) {
    if (state::WorkloadRef workload = core.WorkloadOf(*pod)) co_return workload;
    next.event.Clear();
    const absl::Duration left = end - core.loop.Now();
    if (left <= absl::ZeroDuration()) co_return nullptr;
    const bool came = co_await next.event.Wait(left);
    if (!came) co_return nullptr;
  }
}

}  // namespace mesh::tunnel

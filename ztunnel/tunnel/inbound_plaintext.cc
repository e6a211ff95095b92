#include "ztunnel/base/status.h"
#include "ztunnel/core/net/connect.h"
#include "ztunnel/tunnel/plain_relay.h"
#include "ztunnel/tunnel/serve.h"

namespace mesh::tunnel {
namespace {

using telemetry::WithReason;

base::Task<absl::Status> Deliver(WorkerCore& core, PodRuntime& pod, LiveConnection& live,
                                 net::Socket& client, SocketAddress source, SocketAddress wanted) {
  net::ConnectTarget app;
  app.netns = pod.pod->netns.get();
  app.address = wanted;
  core.ConnectAs(source.ip, app);
  app.timeout = core.config.connect_timeout;
  app.options = core.AppSocketOptions();
  net::ConnectResult connected = co_await net::Connect(core.loop, std::move(app));
  if (connected.error != 0) co_return hbone::ConnectFailure(connected.error, wanted, false);
  PlainRelay relay(core.loop, core.buffers, std::move(client), std::move(connected.socket),
                   Counters{live.record, nullptr});
  relay.Start();
  co_return co_await live.Run(relay);
}

}  // namespace

base::Task<void> ServePlaintext(WorkerCore& core, PodRuntime& pod, net::Socket client) {
  LiveConnection live(core, pod, telemetry::Direction::kInbound);
  const SocketAddress source = client.PeerAddress().value_or(SocketAddress());
  // sk_lookup keeps the destination as the socket's own address; redirection by NAT tells it aside.
  std::optional<SocketAddress> captured = core.config.original_destination(client);
  if (!captured) captured = client.LocalAddress();
  const SocketAddress wanted = captured.value_or(SocketAddress());
  live.info.src = source;
  live.info.original_dst = live.info.actual_dst = wanted;

  absl::Status status;
  if (core.IsIllegalPort(wanted.port)) {
    status = WithReason(PermissionDenied("port {} is the mesh's own", wanted.port),
                        MESH_REASON_ILLEGAL_PORT);
  }
  state::WorkloadRef workload;
  if (status.ok()) {
    workload = co_await WaitForWorkload(core, pod.pod);
    if (workload && core.demand) {
      co_await AskForPeer(core, source.ip);
      workload = core.WorkloadOf(*pod.pod);  // it may be another by now
    }
    if (!workload) {
      status =
          WithReason(Unavailable("pod {}/{} is not known to the mesh", pod.pod->ns, pod.pod->name),
                     MESH_REASON_UNKNOWN_DESTINATION);
    }
  }
  if (!status.ok()) {
    core.metrics.EarlyFailure(telemetry::Direction::kInbound, source, wanted, status);
    client.Reset();
    co_return;
  }

  state::MeshStateRef state = core.state;
  telemetry::ConnectionInfo info;
  info.reporter = telemetry::Reporter::kDestination;
  info.src = source;
  info.dst = info.original_dst = wanted;
  info.source = state->FindWorkload(core.config.network, source.ip);
  info.destination = workload;
  info.destination_service = GuessService(*state, *workload, wanted.port, "");
  info.pod_uid = pod.pod->uid;
  telemetry::ConnectionRecord record = core.metrics.Open(std::move(info));
  live.record = &record;
  live.subject =
      LiveConnection::Subject{workload, {std::nullopt, source.ip, wanted.ip, wanted.port}};
  status = core.policy_watch.Begin(live);
  state = nullptr;  // the connection may outlive many of them
  if (status.ok()) status = co_await Deliver(core, pod, live, client, source, wanted);
  live.record = nullptr;
  if (!status.ok()) client.Reset();
  record.Finish(status);
}

}  // namespace mesh::tunnel

#include <absl/random/distributions.h>
#include <fmt/format.h>

#include "ztunnel/base/async/event.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/hbone/certificates.h"
#include "ztunnel/core/hbone/headers.h"
#include "ztunnel/core/net/connect.h"
#include "ztunnel/tunnel/inner_tunnel.h"
#include "ztunnel/tunnel/plain_relay.h"
#include "ztunnel/tunnel/route.h"
#include "ztunnel/tunnel/serve.h"

namespace mesh::tunnel {
namespace {

using telemetry::WithReason;

// A tunnel that a peer closed at the moment we used it is no reason to fail: once more on a new
// one.
constexpr int kAttempts = 2;

// What one outbound connection is made of once it is known where it goes.
struct Outbound {
  SocketAddress client;  // the application, at its pod's address
  SocketAddress wanted;
  state::MeshStateRef state;  // until the way is clear: a connection may outlive many of them
  state::WorkloadRef source;
  Route route;
  PodRef local;  // the destination, when it is this process's and bytes are copied
};

telemetry::ConnectionInfo InfoOf(const PodRuntime& pod, const Outbound& out) {
  const bool tunnel = out.route.kind == Route::Kind::kHbone;
  telemetry::ConnectionInfo info;
  info.reporter = telemetry::Reporter::kSource;
  info.src = out.client;
  info.dst = out.route.next_hop;
  info.hbone_authority = out.route.authority;
  info.original_dst = out.wanted;
  info.source = out.source;
  // On one node both identities are proved too: by the kernel, which knows whose socket it is.
  const bool proved = tunnel || out.local != nullptr;
  if (proved) info.source_identity = pod.pod->Identity();
  info.destination = out.route.destination;
  // Beyond a gateway any of those that the service names may have answered.
  if (proved && out.route.destination && out.route.inner_accepted.empty())
    info.destination_identity = out.route.destination->Identity();
  info.destination_service = out.route.service;
  info.mutual_tls = tunnel;  // says what the bytes got, not what we know
  info.pod_uid = pod.pod->uid;
  return info;
}

base::Task<absl::Status> Plain(WorkerCore& core, PodRuntime& pod, LiveConnection& live,
                               net::Socket& client, SocketAddress to) {
  net::ConnectTarget target;
  target.netns = pod.pod->netns.get();
  target.address = to;
  target.timeout = core.config.connect_timeout;
  target.options = core.AppSocketOptions();
  net::ConnectResult connected = co_await net::Connect(core.loop, std::move(target));
  if (connected.error != 0) co_return hbone::ConnectFailure(connected.error, to, false);
  PlainRelay relay(core.loop, core.buffers, std::move(client), std::move(connected.socket),
                   Counters{live.record, nullptr});
  relay.Start();
  co_return co_await live.Run(relay);
}

// The client's pod as an application at `to` sees it: a service may lead to another family.
IpAddress SourceFor(const Outbound& out, const IpAddress& to) {
  if (out.client.ip.IsV4() == to.IsV4()) return out.client.ip;
  return AddressFor(*out.source, to).value_or(out.client.ip);
}

// Both pods are this process's: the destination's policy is asked here with the source's identity,
// and the bytes never leave the kernel, so nothing is encrypted.
base::Task<absl::Status> SameNode(WorkerCore& core, PodRuntime& pod, LiveConnection& live,
                                  net::Socket& client, Outbound& out) {
  const SocketAddress target = out.route.target;
  const PodRef& destination = out.local;
  const IpAddress source = SourceFor(out, target.ip);
  live.subject = LiveConnection::Subject{out.route.destination,
                                         {pod.pod->Identity(), source, target.ip, target.port}};
  live.destination_uid = destination->uid;
  telemetry::ConnectionInfo info = InfoOf(pod, out);
  info.reporter = telemetry::Reporter::kDestination;
  info.original_dst = target;
  info.destination_service =
      out.route.service ? out.route.service
                        : GuessService(*out.state, *out.route.destination, target.port, "");
  info.pod_uid = destination->uid;
  telemetry::ConnectionRecord record = core.metrics.Open(std::move(info));

  absl::Status status = core.policy_watch.Begin(live);
  out.state = nullptr;
  if (status.ok() && core.IsIllegalPort(target.port)) {
    status = WithReason(PermissionDenied("port {} is the mesh's own", target.port),
                        MESH_REASON_ILLEGAL_PORT);
  }
  if (status.ok()) {
    net::ConnectTarget app;
    app.netns = destination->netns.get();
    app.address = target;
    core.ConnectAs(source, app);
    app.timeout = core.config.connect_timeout;
    app.options = core.AppSocketOptions();
    net::ConnectResult connected = co_await net::Connect(core.loop, std::move(app));
    if (connected.error != 0) {
      status = hbone::ConnectFailure(connected.error, target, false);
    } else {
      PlainRelay relay(core.loop, core.buffers, std::move(client), std::move(connected.socket),
                       Counters{live.record, &record});
      relay.Start();
      status = co_await live.Run(relay);
    }
  }
  record.Finish(status);
  co_return status;
}

absl::Status Refused(const TunnelRelay& relay) {
  if (relay.status_code().empty() && relay.close_code() == h2::kProtocolError) {
    return WithReason(Unavailable("the tunnel's HTTP/2 failed before an answer"),
                      MESH_REASON_H2_FAILURE);
  }
  if (relay.status_code().empty()) {
    return WithReason(Unavailable("the tunnel's stream ended before an answer (HTTP/2 error {})",
                                  relay.close_code()),
                      MESH_REASON_TUNNEL_REFUSED);
  }
  const mesh_reason reason = hbone::ReasonOfRefusal(relay.response());
  return WithReason(Unavailable("the far end refused the tunnel with status {}: {}",
                                relay.status_code(), telemetry::ReasonExplanation(reason)),
                    reason);
}

h2::Headers RequestOf(const Outbound& out) {
  return {
      {":method", "CONNECT"},
      {":authority", out.route.authority},
      {"baggage", hbone::FormatBaggage(*out.source)},
      {"forwarded",
       hbone::FormatForwarded(out.client, out.route.service ? out.route.service->hostname : "")},
      {"traceparent", hbone::MakeTraceparent()},
  };
}

// OK when the far end has answered with 200.
base::Task<absl::Status> Answered(WorkerCore& core, TunnelRelay& relay) {
  // The far end answers when its application did: its own deadline comes first.
  const bool answered =
      co_await relay.Answered().Wait(core.config.connect_timeout + absl::Seconds(5));
  if (!answered) {
    co_return WithReason(DeadlineExceeded("no answer to the tunnel request"),
                         MESH_REASON_CONNECT_TIMEOUT);
  }
  co_return relay.status_code() == "200" ? absl::OkStatus() : Refused(relay);
}

// A pooled tunnel's stream, answered with 200.
base::Task<absl::StatusOr<std::unique_ptr<TunnelRelay>>> OpenStream(WorkerCore& core,
                                                                    PodRuntime& pod,
                                                                    LiveConnection& live,
                                                                    const Outbound& out) {
  const hbone::PoolKey key{pod.pod->Identity(), out.route.accepted, out.route.next_hop,
                           std::nullopt};
  const h2::Headers headers = RequestOf(out);
  for (int attempt = 1;; ++attempt) {
    auto relay = std::make_unique<TunnelRelay>(core.loop, TunnelRelay::AppIs::kClient);
    absl::StatusOr<hbone::OpenedStream> opened = co_await pod.pool.Open(key, headers, *relay);
    if (!opened.ok()) co_return opened.status();
    relay->Bind(*opened->connection, opened->id);
    live.peer = opened->connection->peer_chain();
    absl::Status status = co_await Answered(core, *relay);
    if (status.ok()) co_return std::move(relay);
    const bool ended = relay->Answered().is_set() && relay->status_code().empty();
    const bool stale = opened->reused || relay->close_code() == h2::kRefusedStream;
    if (!(ended && stale) || attempt >= kAttempts) co_return status;
  }
}

base::Task<absl::Status> Tunnelled(WorkerCore& core, PodRuntime& pod, LiveConnection& live,
                                   net::Socket& client, const Outbound& out) {
  absl::StatusOr<std::unique_ptr<TunnelRelay>> relay = co_await OpenStream(core, pod, live, out);
  if (!relay.ok()) co_return relay.status();
  (*relay)->Start(std::move(client), Counters{live.record, nullptr});
  co_return co_await live.Run(**relay);
}

// Through the gateway of another network, which the far end proves itself beyond.
base::Task<absl::Status> DoublyTunnelled(WorkerCore& core, PodRuntime& pod, LiveConnection& live,
                                         net::Socket& client, const Outbound& out) {
  constexpr absl::Duration kFinish = absl::Seconds(5);
  absl::StatusOr<std::unique_ptr<TunnelRelay>> outer = co_await OpenStream(core, pod, live, out);
  if (!outer.ok()) co_return WithContext(outer.status(), "gateway");
  absl::StatusOr<identity::CertificateRef> certificate = co_await hbone::GetCertificate(
      core.loop, core.certificates, pod.pod->Identity(), core.config.connect_timeout);
  if (!certificate.ok()) co_return WithReason(certificate.status(), MESH_REASON_NO_CERTIFICATE);
  absl::StatusOr<std::unique_ptr<tls::Session>> tls =
      tls::Session::Client(*std::move(certificate), out.route.inner_accepted, core.verifier);
  if (!tls.ok()) co_return WithReason(tls.status(), MESH_REASON_TLS_FAILURE);
  absl::StatusOr<std::unique_ptr<InnerTunnel>> inner =
      InnerTunnel::Start(core, *std::move(outer), *std::move(tls));
  if (!inner.ok()) co_return inner.status();
  absl::Status status = co_await (*inner)->Opened();
  if (!status.ok()) co_return status;

  h2::Headers headers = RequestOf(out);
  headers.push_back({"x-forwarded-network", core.config.network});
  TunnelRelay relay(core.loop, TunnelRelay::AppIs::kClient);
  const absl::StatusOr<int32_t> stream = (*inner)->connection().Request(headers, relay);
  if (!stream.ok()) co_return WithReason(stream.status(), MESH_REASON_H2_FAILURE);
  relay.Bind((*inner)->connection(), *stream);
  live.peer = (*inner)->connection().peer_chain();
  status = co_await Answered(core, relay);
  if (!status.ok()) co_return status;
  relay.Start(std::move(client), Counters{live.record, nullptr});
  status = co_await live.Run(relay);
  if (status.ok()) co_await (*inner)->Finish(kFinish);
  co_return status;
}

base::Task<absl::Status> Proxy(WorkerCore& core, PodRuntime& pod, LiveConnection& live,
                               net::Socket& client, Outbound& out) {
  if (out.local) co_return co_await SameNode(core, pod, live, client, out);
  out.state = nullptr;
  if (!out.route.inner_accepted.empty())
    co_return co_await DoublyTunnelled(core, pod, live, client, out);
  if (out.route.kind == Route::Kind::kHbone)
    co_return co_await Tunnelled(core, pod, live, client, out);
  co_return co_await Plain(core, pod, live, client, out.route.next_hop);
}

// A name that is known outside the mesh only, and resolves to what this pod can reach.
std::optional<IpAddress> AddressAmong(WorkerCore& core, const std::vector<IpAddress>& found,
                                      const IpAddress& wanted) {
  std::vector<IpAddress> usable;
  bool same_family = false;
  for (const IpAddress& ip : found) {
    // The node's loopback is another one than the pod's.
    if (ip.IsLoopback() || ip.IsUnspecified() || (!ip.IsV4() && !core.config.ipv6)) continue;
    const bool same = ip.IsV4() == wanted.IsV4();
    if (same && !same_family) usable.clear();
    same_family = same_family || same;
    if (same == same_family) usable.push_back(ip);
  }
  if (usable.empty()) return std::nullopt;
  return usable[absl::Uniform<size_t>(core.random, 0, usable.size())];
}

base::Task<absl::Status> ResolveNextHop(WorkerCore& core, Outbound& out) {
  const std::string host = out.route.hostname;
  const state::Text uid = out.route.destination->uid;
  out.route.next_hop.ip = out.route.target.ip = out.wanted.ip;  // what is logged when it fails
  if (core.hosts == nullptr) {
    co_return WithReason(Unavailable("{} is known by hostname only ({})", uid, host),
                         MESH_REASON_CONNECT_UNREACHABLE);
  }
  core.metrics.HostLookup(out.source, host);
  const net::HostResolver::Result found =
      co_await net::ResolveHost(core.loop, *core.hosts, host, core.config.connect_timeout);
  if (!found.ok()) {
    const bool limit = absl::IsResourceExhausted(found.status());
    co_return WithReason(WithContext(found.status(), fmt::format("resolve endpoint {}", uid)),
                         limit ? MESH_REASON_LIMIT : MESH_REASON_CONNECT_UNREACHABLE);
  }
  const std::optional<IpAddress> address = AddressAmong(core, *found, out.wanted.ip);
  if (!address) {
    co_return WithReason(
        Unavailable("resolve endpoint {}: none of the {} addresses of {} can be used by a pod", uid,
                    found->size(), host),
        MESH_REASON_CONNECT_UNREACHABLE);
  }
  SetAddress(out.route, *address);
  co_return absl::OkStatus();
}

absl::Status UnknownSource(const Pod& pod) {
  return WithReason(Unavailable("pod {}/{} is not known to the mesh", pod.ns, pod.name),
                    MESH_REASON_UNKNOWN_SOURCE);
}

// Fills `out`; an error means that no context is known and nothing was counted.
base::Task<absl::Status> Prepare(WorkerCore& core, PodRuntime& pod, const net::Socket& client,
                                 Outbound& out) {
  out.client = client.PeerAddress().value_or(SocketAddress());
  const std::optional<SocketAddress> wanted = core.config.original_destination(client);
  if (!wanted) {
    out.wanted = client.LocalAddress().value_or(SocketAddress());
    co_return WithReason(FailedPrecondition("not a captured connection"), MESH_REASON_LOOP);
  }
  out.wanted = *wanted;
  if (wanted->ip.IsLoopback() && core.IsIllegalPort(wanted->port)) {
    co_return WithReason(
        FailedPrecondition("destination {} is the proxy itself", wanted->ToString()),
        MESH_REASON_LOOP);
  }
  out.source = co_await WaitForWorkload(core, pod.pod);
  if (!out.source) co_return UnknownSource(*pod.pod);
  const absl::Status asked = co_await AskForDestination(core, out.source, out.wanted);
  if (!asked.ok()) co_return asked;
  out.state = core.state;
  // Policy is asked about what it is now.
  out.source = core.WorkloadOf(*pod.pod);
  if (!out.source) {
    out.state = nullptr;
    co_return UnknownSource(*pod.pod);
  }
  // Capture rewrites the destination to loopback, and with it the source that the kernel picks.
  if (out.client.ip.IsLoopback()) {
    if (const auto ip = AddressFor(*out.source, out.wanted.ip)) out.client.ip = *ip;
  }
  absl::StatusOr<Route> route = ResolveOutbound(
      {*out.state, *out.source, out.wanted, core.config.network, core.config.hbone_port},
      core.random);
  if (!route.ok()) {
    // The service is known all the same: such failures are counted with it.
    out.route.next_hop = out.wanted;
    out.route.service =
        out.state->FindServiceByVip(core.config.network, out.wanted.ip, out.source->ns);
    co_return route.status();
  }
  out.route = *std::move(route);
  if (!out.route.hostname.empty()) co_return co_await ResolveNextHop(core, out);
  const state::WorkloadRef& destination = out.route.destination;
  if (destination && !out.route.via_waypoint && out.route.inner_accepted.empty() &&
      !core.config.force_encryption && !destination->application_tunnel) {
    out.local = core.FindLocalPod(*destination);
  }
  if (out.local) {
    out.route.kind = Route::Kind::kTcp;
    out.route.next_hop = out.route.target;
    out.route.authority.clear();
  }
  co_return absl::OkStatus();
}

}  // namespace

base::Task<void> ServeOutbound(WorkerCore& core, PodRuntime& pod, net::Socket client) {
  LiveConnection live(core, pod, telemetry::Direction::kOutbound);
  Outbound out;
  absl::Status status = co_await Prepare(core, pod, client, out);
  live.info.src = out.client;
  live.info.original_dst = out.wanted;
  if (!status.ok() && !out.state) {
    core.metrics.EarlyFailure(telemetry::Direction::kOutbound, out.client, out.wanted, status);
    client.Reset();
    co_return;
  }
  live.info.actual_dst = out.route.next_hop;
  live.info.hbone = out.route.kind == Route::Kind::kHbone;
  live.info.authority = out.route.authority;
  telemetry::ConnectionRecord record = core.metrics.Open(InfoOf(pod, out));
  live.record = &record;
  if (status.ok()) status = co_await Proxy(core, pod, live, client, out);
  live.record = nullptr;
  // Whatever it was, the application sees it at once.
  if (!status.ok()) client.Reset();
  record.Finish(status);
}

}  // namespace mesh::tunnel

#include <strings.h>

#include "ztunnel/base/async/event.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/hbone/headers.h"
#include "ztunnel/core/hbone/proxy_protocol.h"
#include "ztunnel/core/net/connect.h"
#include "ztunnel/tunnel/serve.h"

namespace mesh::tunnel {
namespace {

using telemetry::WithReason;

// A refusal: what the peer is told, and why.
struct Refusal {
  const char* status = nullptr;  // null: none
  absl::Status why;
};

Refusal Refuse(const char* status, mesh_reason reason, absl::Status why) {
  return {status, WithReason(std::move(why), reason)};
}

// The port that a service's port means at this pod; 0 when it has none.
uint16_t PortAt(const state::Workload& workload, const state::Service& service, uint16_t port) {
  const auto mine = workload.services.find(service.Key());
  if (mine != workload.services.end()) {
    if (const auto it = mine->second.find(port); it != mine->second.end() && it->second != 0)
      return it->second;
  }
  const auto it = service.ports.find(port);
  return it == service.ports.end() ? 0 : it->second;
}

// Where a request leads. Only the port is the peer's choice: the connection goes to the pod that it
// came to. A pod with an application tunnel serves others' addresses: it is told which by `asked`.
struct Target {
  SocketAddress pod;      // with the port that was asked for, as the pod's own services name it
  uint16_t app_port = 0;  // the application's: what policy is asked about
  SocketAddress asked;    // the authority, a service's name as one of its addresses
};

Refusal OtherPod(const std::string& authority, const SocketAddress& local) {
  return Refuse("400", MESH_REASON_BAD_REQUEST,
                Invalid("authority {} is not this pod ({})", authority, local.ip.ToString()));
}

// An address of the service that a PROXY header can name: of our network and IPv4 first.
std::optional<IpAddress> VipOf(const state::Service& service, std::string_view network) {
  std::optional<IpAddress> best;
  int best_rank = -1;
  for (const state::NetworkAddress& vip : service.vips) {
    const int rank = (vip.network == network ? 2 : 0) + (vip.ip.IsV4() ? 1 : 0);
    if (rank > best_rank) best = vip.ip;
    best_rank = std::max(best_rank, rank);
  }
  return best;
}

Refusal TargetOfName(const WorkerCore& core, const state::Workload& workload,
                     const hbone::HostPort& name, Target& target) {
  const state::ServiceRef service =
      core.state->FindServiceByHostname(name.host, workload.ns, workload.ns);
  if (!service) {
    return Refuse("503", MESH_REASON_UNKNOWN_DESTINATION,
                  NotFound("service {} is not known", Quoted(name.host)));
  }
  const auto& tunnel = workload.application_tunnel;
  if (!tunnel && !workload.services.contains(service->Key())) {
    return Refuse("400", MESH_REASON_BAD_REQUEST,
                  Invalid("this pod is no endpoint of service {}", service->Key()));
  }
  target.pod.port = PortAt(workload, *service, name.port);
  if (target.pod.port == 0 && tunnel && tunnel->port != 0) target.pod.port = name.port;
  if (target.pod.port == 0) {
    return Refuse("503", MESH_REASON_SERVICE_PORT_UNKNOWN,
                  NotFound("service {} has no port {}", service->Key(), name.port));
  }
  target.asked = {target.pod.ip, name.port};
  if (!tunnel || !tunnel->proxy_protocol) return {};
  const std::optional<IpAddress> vip = VipOf(*service, core.config.network);
  if (!vip) {
    return Refuse("503", MESH_REASON_UNKNOWN_DESTINATION,
                  NotFound("service {} has no address to tell the application", service->Key()));
  }
  target.asked.ip = *vip;
  return {};
}

// On demand, the services that this pod backs may be known by name only.
base::Task<void> AskForNamedService(WorkerCore& core, const state::Workload& workload,
                                    const hbone::Authority& authority) {
  const auto* name = std::get_if<hbone::HostPort>(&authority);
  if (!core.demand || name == nullptr) co_return;
  for (const auto& [key, ports] : workload.services) {
    const size_t slash = key.view().find('/');
    if (key.view().substr(slash + 1) != name->host) continue;
    if (core.state->FindByHostname({key.view().substr(0, slash), name->host}).index() != 0)
      continue;
    co_await AskFor(core.loop, core.demand, key.str(), core.config.workload_wait);
  }
}

Refusal TargetOf(const WorkerCore& core, const Pod& pod, const state::Workload& workload,
                 const hbone::Authority& authority, const SocketAddress& local, Target& target) {
  target.pod.ip = local.ip;
  if (const auto* address = std::get_if<SocketAddress>(&authority)) {
    if (address->ip != local.ip && !workload.application_tunnel) {
      return OtherPod(address->ToString(), local);
    }
    target.pod.port = address->port;
    target.asked = *address;
  } else {
    Refusal refusal = TargetOfName(core, workload, std::get<hbone::HostPort>(authority), target);
    if (refusal.status != nullptr) return refusal;
  }
  const auto& tunnel = workload.application_tunnel;
  target.app_port = tunnel && tunnel->port != 0 ? tunnel->port : target.pod.port;
  if (core.IsIllegalPort(target.pod.port)) {
    return Refuse("503", MESH_REASON_ILLEGAL_PORT,
                  PermissionDenied("port {} is the mesh's own", target.pod.port));
  }
  if (pod.only_port && target.pod.port != *pod.only_port) {
    return Refuse("503", MESH_REASON_ILLEGAL_PORT,
                  PermissionDenied("port {} of the proxy itself is not for peers (port {} is)",
                                   target.pod.port, *pod.only_port));
  }
  return {};
}

telemetry::ConnectionInfo InfoOf(const WorkerCore& core, const PodRuntime& pod,
                                 const TunnelRequest& request, const state::WorkloadRef& workload,
                                 const SocketAddress& target) {
  telemetry::ConnectionInfo info;
  info.reporter = telemetry::Reporter::kDestination;
  info.src = request.peer;
  info.dst = request.local;
  info.hbone_authority = h2::Find(request.headers, ":authority");
  info.original_dst = target;
  info.source = core.state->FindWorkload(core.config.network, request.peer.ip);
  // An address may have been another's a moment ago; the certificate does not lie.
  if (info.source && info.source->Identity() != request.identity) info.source = nullptr;
  // Through a gateway the address is the gateway's.
  const std::string network(h2::Find(request.headers, "x-forwarded-network"));
  if (!network.empty() && ::strcasecmp(network.c_str(), core.config.network.c_str()) != 0) {
    info.source = nullptr;
  }
  if (!info.source) info.source_baggage = hbone::ParseBaggage(request.headers);
  // The rest of it is the peer's word, its namespace is proved.
  if (info.source_baggage) info.source_baggage->ns = request.identity.ns;
  info.source_identity = request.identity;
  info.destination = workload;
  info.destination_identity = workload->Identity();
  info.destination_service =
      GuessService(*core.state, *workload, target.port,
                   hbone::ParseForwardedHost(h2::Find(request.headers, "forwarded")));
  info.mutual_tls = true;
  info.pod_uid = pod.pod->uid;
  return info;
}

// How the application is reached.
net::ConnectTarget AppOf(const WorkerCore& core, const PodRuntime& pod,
                         const state::Workload& workload, const SocketAddress& source,
                         const Target& target) {
  const auto& tunnel = workload.application_tunnel;
  const bool proxy = tunnel && tunnel->proxy_protocol;
  net::ConnectTarget app;
  app.netns = pod.pod->netns.get();
  app.address = {target.pod.ip, target.app_port};
  if (proxy && core.config.localhost_app_tunnel) {
    app.address.ip = *IpAddress::Parse(target.pod.ip.IsV4() ? "127.0.0.1" : "::1");
  } else if (!pod.pod->only_port) {
    core.ConnectAs(source.ip, app);
  }
  app.timeout = core.config.connect_timeout;
  app.options = core.AppSocketOptions();
  return app;
}

base::Task<absl::Status> Deliver(WorkerCore& core, PodRuntime& pod, LiveConnection& live,
                                 TunnelRelay& relay, const state::Workload& workload,
                                 const TunnelRequest& request, const Target& target) {
  net::ConnectTarget app = AppOf(core, pod, workload, request.peer, target);
  const SocketAddress address = app.address;
  net::ConnectResult connected = co_await net::Connect(core.loop, std::move(app));
  if (connected.error != 0) {
    absl::Status failure = hbone::ConnectFailure(connected.error, address, false);
    relay.Refuse(hbone::RefusalHeaders("503", telemetry::ReasonOf(failure)));
    co_return failure;
  }
  h2::Headers answer = {{":status", "200"}};
  if (core.config.response_baggage) {
    answer.push_back({"baggage", hbone::FormatBaggage(workload)});
  }
  relay.Respond(answer);
  if (workload.application_tunnel && workload.application_tunnel->proxy_protocol) {
    // A new socket takes a few hundred bytes whole.
    const std::string header =
        hbone::ProxyProtocolHeader(request.peer, target.asked, request.identity);
    const net::IoResult written = connected.socket.Write(std::as_bytes(std::span(header)));
    if (written.bytes != header.size()) {
      co_return WithReason(Unavailable("the application took no PROXY header"),
                           MESH_REASON_PEER_RESET);
    }
  }
  relay.Start(std::move(connected.socket), Counters{live.record, nullptr});
  co_return co_await live.Run(relay);
}

}  // namespace

base::Task<void> ServeStream(WorkerCore& core, PodRuntime& pod, TunnelRequest request,
                             std::unique_ptr<TunnelRelay> relay) {
  // The session that delivers this request must have returned before the relay may go.
  co_await base::Yield(core.loop);
  LiveConnection live(core, pod, telemetry::Direction::kInbound);
  live.info.src = request.peer;
  live.info.hbone = true;
  live.peer = request.chain;
  live.info.authority = h2::Find(request.headers, ":authority");

  Refusal refusal;
  absl::StatusOr<hbone::Authority> authority = hbone::ParseAuthority(live.info.authority);
  if (h2::Find(request.headers, ":method") != "CONNECT") {
    refusal =
        Refuse("400", MESH_REASON_BAD_REQUEST,
               Invalid("method {} is not CONNECT", Quoted(h2::Find(request.headers, ":method"))));
  } else if (!authority.ok()) {
    refusal = Refuse("400", MESH_REASON_BAD_REQUEST, authority.status());
  }
  state::WorkloadRef workload;
  Target target;
  if (refusal.status == nullptr) {
    workload = co_await WaitForWorkload(core, pod.pod);
    if (workload && core.demand) {
      co_await AskForNamedService(core, *workload, *authority);
      // With baggage the peer has said itself what would be asked for.
      if (h2::Find(request.headers, "baggage").empty()) co_await AskForPeer(core, request.peer.ip);
      workload = core.WorkloadOf(*pod.pod);  // it may be another by now
    }
    refusal =
        workload
            ? TargetOf(core, *pod.pod, *workload, *authority, request.local, target)
            : Refuse("503", MESH_REASON_UNKNOWN_DESTINATION,
                     Unavailable("pod {}/{} is not known to the mesh", pod.pod->ns, pod.pod->name));
  }
  if (refusal.status != nullptr) {
    relay->Refuse(hbone::RefusalHeaders(refusal.status, telemetry::ReasonOf(refusal.why)));
    core.metrics.EarlyFailure(telemetry::Direction::kInbound, request.peer, request.local,
                              refusal.why);
    co_return;
  }

  live.info.original_dst = live.info.actual_dst = target.pod;
  telemetry::ConnectionRecord record =
      core.metrics.Open(InfoOf(core, pod, request, workload, target.pod));
  live.record = &record;
  live.subject = LiveConnection::Subject{
      workload, {request.identity, request.peer.ip, target.pod.ip, target.app_port}};
  absl::Status status = core.policy_watch.Begin(live);
  if (!status.ok()) {
    relay->Refuse(hbone::RefusalHeaders("401", telemetry::ReasonOf(status)));
  } else if (relay->stream_closed()) {
    status = WithReason(Cancelled("the peer gave up before the application was asked"),
                        MESH_REASON_PEER_RESET);
  } else {
    status = co_await Deliver(core, pod, live, *relay, *workload, request, target);
  }
  live.record = nullptr;
  record.Finish(status);
}

}  // namespace mesh::tunnel

#include "ztunnel/waypoint/proxy/open_transport.h"

#include "ztunnel/base/status.h"
#include "ztunnel/core/hbone/headers.h"
#include "ztunnel/core/net/connect.h"
#include "ztunnel/waypoint/transport/socket_transport.h"
#include "ztunnel/waypoint/transport/tunnel_transport.h"

namespace mesh::waypoint {
namespace {

using Result = absl::StatusOr<std::unique_ptr<transport::Transport>>;

base::Task<Result> OpenTunnel(Core& core, lb::ClusterRef cluster, lb::Host host) {
  auto tunnel = std::make_unique<transport::TunnelTransport>(core.loop);
  hbone::PoolKey key;
  key.source = core.options.self;
  key.accepted = {host.workload->Identity()};
  key.address = {host.address.ip, 15008};
  const absl::Time until = core.loop.Now() + cluster->options().connect_timeout;
  h2::Headers headers = {{":method", "CONNECT"}, {":authority", host.address.ToString()}};
  absl::StatusOr<hbone::OpenedStream> opened = co_await core.tunnels.Open(
      std::move(key), std::move(headers), *tunnel, cluster->options().connect_timeout);
  if (!opened.ok()) co_return opened.status();
  tunnel->Bind(*opened->connection, opened->id);
  if (!co_await tunnel->Answered().Wait(until - core.loop.Now())) {
    co_return telemetry::WithReason(
        DeadlineExceeded("{} did not answer the tunnel's request in {}", host.address.ToString(),
                         absl::FormatDuration(cluster->options().connect_timeout)),
        MESH_REASON_CONNECT_TIMEOUT);
  }
  const std::string status(h2::Find(tunnel->response(), ":status"));
  if (status == "200") co_return std::unique_ptr<transport::Transport>(std::move(tunnel));
  if (status.empty()) {
    co_return telemetry::WithReason(
        Unavailable("the tunnel to {} broke off", host.address.ToString()), MESH_REASON_PEER_RESET);
  }
  co_return telemetry::WithReason(
      Unavailable("{} refused the tunnel with {}", host.address.ToString(), status),
      hbone::ReasonOfRefusal(tunnel->response()));
}

base::Task<Result> OpenSocket(Core& core, lb::ClusterRef cluster, lb::Host host) {
  // What was to be encrypted, or announced, does not leave otherwise.
  if (cluster->options().tls || cluster->options().proxy_protocol != 0) {
    co_return telemetry::WithReason(
        FailedPrecondition("{}: this waypoint originates no TLS and sends no PROXY header",
                           cluster->name()),
        MESH_REASON_L7_NOT_ENFORCEABLE);
  }
  if (!host.hostname.empty()) {
    if (core.hosts == nullptr) {
      co_return telemetry::WithReason(Unavailable("{} is not looked up here", host.hostname),
                                      MESH_REASON_NO_HEALTHY_ENDPOINT);
    }
    net::HostResolver::Result addresses = co_await net::ResolveHost(
        core.loop, *core.hosts, host.hostname, cluster->options().connect_timeout);
    if (!addresses.ok()) {
      co_return telemetry::WithReason(WithContext(addresses.status(), "look up " + host.hostname),
                                      MESH_REASON_NO_HEALTHY_ENDPOINT);
    }
    host.address.ip = addresses->front();
  }
  net::ConnectTarget target;
  target.address = host.address;
  target.timeout = cluster->options().connect_timeout;
  net::ConnectResult connected = co_await net::Connect(core.loop, std::move(target));
  if (connected.error != 0) {
    co_return hbone::ConnectFailure(connected.error, host.address, false);
  }
  co_return std::unique_ptr<transport::Transport>(std::make_unique<transport::SocketTransport>(
      core.loop, core.buffers, std::move(connected.socket)));
}

}  // namespace

base::Task<Result> OpenTransport(Core& core, lb::ClusterRef cluster, lb::Host host) {
  const bool tunnel = host.workload != nullptr && !cluster->options().external &&
                      host.workload->protocol == state::Protocol::kHbone;
  if (tunnel) co_return co_await OpenTunnel(core, std::move(cluster), std::move(host));
  co_return co_await OpenSocket(core, std::move(cluster), std::move(host));
}

}  // namespace mesh::waypoint

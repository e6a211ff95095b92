#include "ztunnel/tunnel/pod_runtime.h"

#include "ztunnel/base/status.h"
#include "ztunnel/tunnel/serve.h"
#include "ztunnel/tunnel/server_tunnel.h"

namespace mesh::tunnel {
namespace {

hbone::Pool::Options PoolOptions(const WorkerCore& core) {
  const Config& config = core.config;
  hbone::Pool::Options options;
  options.connection.h2.stream_window_bytes = config.stream_window_bytes;
  options.connection.h2.connection_window_bytes = config.connection_window_bytes;
  options.connection.h2.frame_bytes = config.frame_bytes;
  options.connection.handshake_timeout = config.handshake_timeout;
  options.connection.ping_interval = config.ping_interval;
  options.connection.ping_timeout = config.ping_timeout;
  options.max_streams = config.pool_max_streams;
  options.max_connections = config.max_tunnels_per_pod;
  options.idle = config.pool_idle;
  options.connect_timeout = config.connect_timeout;
  options.certificate_timeout = config.connect_timeout;
  options.socket = core.TunnelSocketOptions();
  return options;
}

}  // namespace

PodRuntime::PodRuntime(WorkerCore& c, PodRef p)
    : core(c),
      pod(std::move(p)),
      pool(c.loop, c.buffers, c.certificates, pod->netns.get(), PoolOptions(c)) {}

PodRuntime::~PodRuntime() {
  tasks_.CancelAll();
  core.loop.CancelDefer(*this);
}

absl::Status PodRuntime::ListenOn(std::optional<net::Listener>& listener, uint16_t port,
                                  bool transparent, Serve serve) {
  net::ListenOptions options;
  options.port = port;
  options.ipv6 = core.config.ipv6;
  options.reuse_port = core.config.reuse_port;
  options.transparent = transparent;
  ASSIGN_OR_RETURN(UniqueFd fd, net::Listen(pod->netns.get(), options));
  listener.emplace(core.loop, std::move(fd),
                   [this, serve](net::Socket socket) { Accept(std::move(socket), serve); });
  return absl::OkStatus();
}

absl::Status PodRuntime::Listen() {
  const std::string what = "listen in pod " + pod->ns + "/" + pod->name;
  if (!pod->only_port) {
    RETURN_IF_ERROR(
        WithContext(ListenOn(outbound_, core.config.outbound_port, false, ServeOutbound), what));
    RETURN_IF_ERROR(WithContext(
        ListenOn(plaintext_, core.config.inbound_plaintext_port, true, ServePlaintext), what));
  }
  return WithContext(ListenOn(hbone_, core.config.hbone_port, false, ServeTunnel), what);
}

void PodRuntime::Accept(net::Socket socket, Serve serve) {
  if (live.size() >= core.config.max_connections_per_pod ||
      tunnels_.size() >= core.config.max_tunnels_per_pod) {
    core.metrics.EarlyFailure(
        serve == ServeOutbound ? telemetry::Direction::kOutbound : telemetry::Direction::kInbound,
        socket.PeerAddress().value_or(SocketAddress()),
        socket.LocalAddress().value_or(SocketAddress()),
        telemetry::WithReason(ResourceExhausted("{} connections of this pod are open", live.size()),
                              MESH_REASON_LIMIT));
    socket.Reset();
    return;
  }
  Spawn(serve(core, *this, std::move(socket)));
}

void PodRuntime::Drain() {
  draining_ = true;
  outbound_.reset();
  plaintext_.reset();
  hbone_.reset();
  for (auto& tunnel : tunnels_) tunnel->connection().Drain();
  pool.Retire();
}

bool PodRuntime::Idle() const {
  // Tunnels without streams do not count: their peers were told, and may never close.
  return tasks_.empty() && live.empty();
}

void PodRuntime::AddTunnel(net::Socket socket, std::unique_ptr<tls::Session> tls) {
  tunnels_.push_back(
      std::make_unique<ServerTunnel>(core, *this, std::move(socket), std::move(tls)));
  ServerTunnel& tunnel = *tunnels_.back();
  tunnel.connection().Start();
  if (draining_) tunnel.connection().Drain();
}

void PodRuntime::TunnelClosed(ServerTunnel& tunnel) {
  for (auto it = tunnels_.begin(); it != tunnels_.end(); ++it) {
    if (it->get() != &tunnel) continue;
    dead_tunnels_.splice(dead_tunnels_.end(), tunnels_, it);
    break;
  }
  core.loop.Defer(*this);
}

void PodRuntime::RunDeferred() { dead_tunnels_.clear(); }

}  // namespace mesh::tunnel

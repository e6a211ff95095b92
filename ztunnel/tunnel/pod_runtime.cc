#include "ztunnel/tunnel/pod_runtime.h"

#include <iterator>

#include "ztunnel/base/status.h"
#include "ztunnel/tunnel/serve.h"
#include "ztunnel/tunnel/server_tunnel.h"

namespace mesh::tunnel {
namespace {

hbone::Pool::Options PoolOptions(const WorkerCore& core) {
  const Config& config = core.config;
  hbone::Pool::Options options;
  options.connection = core.TunnelOptions();
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
      pool(c.loop, c.buffers, c.certificates, c.verifier, pod->netns.get(), PoolOptions(c)) {}

PodRuntime::~PodRuntime() {
  tasks_.CancelAll();
  CountHandshakes(-static_cast<int>(handshaking_.size()));
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
  if (!core.config.listens) return absl::OkStatus();
  const std::string what = "listen in pod " + pod->ns + "/" + pod->name;
  if (!pod->only_port) {
    RETURN_IF_ERROR(
        WithContext(ListenOn(outbound_, core.config.outbound_port, false, ServeOutbound), what));
    RETURN_IF_ERROR(WithContext(
        ListenOn(plaintext_, core.config.inbound_plaintext_port, true, ServePlaintext), what));
  }
  return WithContext(ListenOn(hbone_, core.config.hbone_port, false, ServeTunnel), what);
}

bool PodRuntime::FullOfConnections() const {
  const bool scarce = core.newest_descriptor >= core.config.scarce_descriptor;
  return live.size() >= core.config.max_connections_per_pod ||
         (scarce && live.size() >= core.config.fair_connections_per_pod);
}

absl::Status PodRuntime::HasRoomFor(Serve serve) const {
  if (FullOfConnections()) {
    return ResourceExhausted("{} connections of this pod are open", live.size());
  }
  // Peers' tunnels are no reason to refuse the pod's own connections.
  if (serve == ServeTunnel && tunnels_.size() >= core.config.max_tunnels_per_pod) {
    return ResourceExhausted("{} tunnels to this pod are open", tunnels_.size());
  }
  return absl::OkStatus();
}

void PodRuntime::Accept(net::Socket socket, Serve serve) {
  core.newest_descriptor = socket.fd();
  if (absl::Status room = HasRoomFor(serve); !room.ok()) {
    core.metrics.EarlyFailure(
        serve == ServeOutbound ? telemetry::Direction::kOutbound : telemetry::Direction::kInbound,
        socket.PeerAddress().value_or(SocketAddress()),
        socket.LocalAddress().value_or(SocketAddress()),
        telemetry::WithReason(std::move(room), MESH_REASON_LIMIT));
    socket.Reset();
    return;
  }
  Spawn(serve(core, *this, std::move(socket)));
}

void PodRuntime::Drain() {
  draining_ = true;
  for (std::optional<net::Listener>* listener : {&outbound_, &plaintext_, &hbone_}) {
    if (*listener) (*listener)->AcceptAll();
    listener->reset();
  }
  for (auto& tunnel : tunnels_) DrainTunnel(*tunnel);
  pool.Retire();
}

void PodRuntime::DrainTunnel(ServerTunnel& tunnel) {
  tunnel.connection().Drain();
  told_by_ = std::max(told_by_, core.loop.Now() + hbone::kGoAwayGrace);
}

bool PodRuntime::Idle() const {
  if (!tasks_.empty() || !live.empty() || !handshaking_.empty()) return false;
  // Then tunnels without streams do not count: their peers may never close.
  return tunnels_.empty() || core.loop.Now() > told_by_;
}

void PodRuntime::CloseRevoked() {
  const auto why = [this](const identity::PeerRef& peer) {
    const std::string serial = peer == nullptr ? "" : core.verifier.RevokedOf(*peer);
    if (serial.empty()) return absl::OkStatus();
    return telemetry::WithReason(Unauthenticated("the peer's certificate {} was revoked", serial),
                                 MESH_REASON_CERT_REVOKED);
  };
  // Connections first: they end for this reason, and not because their tunnel did.
  for (LiveConnection* connection : live) {
    if (absl::Status status = why(connection->peer); !status.ok()) {
      core.verifier.CountRevoked(connection->info.direction == telemetry::Direction::kInbound);
      connection->Abort(std::move(status));
    }
  }
  for (auto& tunnel : tunnels_) {
    if (absl::Status status = why(tunnel->connection().peer_chain()); !status.ok()) {
      tunnel->connection().Close(std::move(status));
    }
  }
  pool.CloseIf([&](const hbone::Connection& tunnel) { return why(tunnel.peer_chain()); });
}

void PodRuntime::AddTunnel(net::Socket socket, std::unique_ptr<tls::Session> tls) {
  MakeRoomForHandshake();
  handshaking_.push_back(
      std::make_unique<ServerTunnel>(core, *this, std::move(socket), std::move(tls)));
  ServerTunnel& tunnel = *handshaking_.back();
  tunnel.place() = {&handshaking_, std::prev(handshaking_.end())};
  CountHandshakes(1);
  tunnel.connection().Start();
}

void PodRuntime::MakeRoomForHandshake() {
  while (!handshaking_.empty() && handshaking_.size() >= core.config.max_handshakes_per_pod) {
    EndOldestHandshake(core.config.max_handshakes_per_pod, "this pod");
  }
  while (core.handshakes >= core.config.max_handshakes) {
    PodRuntime* most = this;
    const auto look = [&](PodRuntime& pod) {
      if (pod.handshaking_.size() > most->handshaking_.size()) most = &pod;
    };
    for (const auto& [uid, pod] : core.pods) look(*pod);
    for (const auto& pod : core.draining) look(*pod);
    if (most->handshaking_.empty()) return;
    most->EndOldestHandshake(core.config.max_handshakes, "the pods of this node");
  }
}

void PodRuntime::EndOldestHandshake(size_t limit, std::string_view whose) {
  ServerTunnel& oldest = *handshaking_.front();
  Move(oldest, tunnels_);  // until OnClosed
  oldest.connection().Close(telemetry::WithReason(
      ResourceExhausted("{} newer tunnels to {} are in their handshake", limit, whose),
      MESH_REASON_LIMIT));
}

void PodRuntime::CountHandshakes(int change) {
  core.handshakes.store(core.handshakes.load(std::memory_order_relaxed) +
                            static_cast<uint64_t>(static_cast<int64_t>(change)),
                        std::memory_order_relaxed);
}

void PodRuntime::Move(ServerTunnel& tunnel, Tunnels& to) {
  TunnelPlace& place = tunnel.place();
  if (place.list == &handshaking_) CountHandshakes(-1);
  to.splice(to.end(), *place.list, place.at);
  place.list = &to;
}

void PodRuntime::TunnelOpened(ServerTunnel& tunnel) {
  Move(tunnel, tunnels_);
  if (draining_) DrainTunnel(tunnel);
}

void PodRuntime::TunnelClosed(ServerTunnel& tunnel) {
  Move(tunnel, dead_tunnels_);
  core.loop.Defer(*this);
}

void PodRuntime::RunDeferred() { dead_tunnels_.clear(); }

}  // namespace mesh::tunnel

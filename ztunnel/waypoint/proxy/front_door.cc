#include "ztunnel/waypoint/proxy/front_door.h"

#include "ztunnel/base/status.h"
#include "ztunnel/core/hbone/certificates.h"
#include "ztunnel/core/net/connect.h"
#include "ztunnel/core/tls/session.h"
#include "ztunnel/waypoint/transport/tunnel_transport.h"

namespace mesh::waypoint {

class FrontDoor::Tunnel final : public hbone::Connection::Owner {
 public:
  Tunnel(FrontDoor& door, net::Socket socket, std::unique_ptr<tls::Session> tls)
      : door_(door),
        peer_(socket.PeerAddress().value_or(SocketAddress())),
        local_(socket.LocalAddress().value_or(SocketAddress())),
        connection_(door.core_.loop, door.core_.buffers, std::move(socket), std::move(tls),
                    ServerOptions(door.core_), *this) {}

  hbone::Connection& connection() { return connection_; }
  std::list<std::unique_ptr<Tunnel>>::iterator place;

 private:
  static hbone::Connection::Options ServerOptions(const Core& core) {
    hbone::Connection::Options options;
    options.h2.server = true;
    options.h2.stream_window_bytes = 1 << 20;
    options.handshake_timeout = core.options.handshake_timeout;
    return options;
  }

  void OnOpen(hbone::Connection&) override { opened_ = true; }

  h2::StreamHandler* OnRequest(hbone::Connection& connection, int32_t stream,
                               h2::Headers headers) override {
    absl::StatusOr<hbone::Authority> authority =
        hbone::ParseAuthority(h2::Find(headers, ":authority"));
    if (h2::Find(headers, ":method") != "CONNECT" || !authority.ok()) {
      connection.RespondAndEnd(stream, hbone::RefusalHeaders("400", MESH_REASON_BAD_REQUEST));
      return nullptr;
    }
    absl::StatusOr<SceneRef> scene =
        MakeScene(door_.core_, peer_, connection.peer(), *std::move(authority));
    if (!scene.ok()) {
      door_.core_.metrics.EarlyFailure(telemetry::Direction::kInbound, peer_, local_,
                                       scene.status());
      connection.RespondAndEnd(stream,
                               hbone::RefusalHeaders("404", telemetry::ReasonOf(scene.status())));
      return nullptr;
    }
    auto transport = std::make_unique<transport::TunnelTransport>(door_.core_.loop);
    transport->Bind(connection, stream);
    transport->Respond({{":status", "200"}});
    h2::StreamHandler* handler = transport.get();
    door_.downstreams_.Add(*std::move(scene), std::move(transport));
    return handler;
  }

  void OnClosed(hbone::Connection&, const absl::Status& status) override {
    if (!opened_ && !status.ok()) {
      door_.core_.metrics.EarlyFailure(telemetry::Direction::kInbound, peer_, local_, status);
    }
    door_.OnClosed(*this);
  }

  FrontDoor& door_;
  const SocketAddress peer_, local_;
  bool opened_ = false;
  hbone::Connection connection_;
};

FrontDoor::FrontDoor(Core& core, Downstreams& downstreams)
    : core_(core), downstreams_(downstreams) {}

FrontDoor::~FrontDoor() {
  tasks_.CancelAll();
  core_.loop.CancelDefer(*this);
}

absl::Status FrontDoor::Listen() {
  net::ListenOptions options;
  options.port = core_.options.hbone_port;
  options.ipv6 = core_.options.ipv6;
  ASSIGN_OR_RETURN(UniqueFd fd, net::Listen(nullptr, options));
  listener_ = std::make_unique<net::Listener>(
      core_.loop, std::move(fd),
      [this](net::Socket client) { tasks_.Start(Accept(std::move(client))); });
  return absl::OkStatus();
}

base::Task<void> FrontDoor::Accept(net::Socket client) {
  if (tunnels_.size() + tasks_.size() > core_.options.max_tunnels) {  // this one is a task already
    core_.metrics.EarlyFailure(
        telemetry::Direction::kInbound, client.PeerAddress().value_or(SocketAddress()),
        client.LocalAddress().value_or(SocketAddress()),
        telemetry::WithReason(ResourceExhausted("{} tunnels are open", tunnels_.size()),
                              MESH_REASON_LIMIT));
    client.Reset();
    co_return;
  }
  absl::StatusOr<identity::CertificateRef> certificate = co_await hbone::GetCertificate(
      core_.loop, core_.certificates, core_.options.self, core_.options.handshake_timeout);
  absl::StatusOr<std::unique_ptr<tls::Session>> tls(nullptr);
  absl::Status status = certificate.status();
  mesh_reason reason = MESH_REASON_NO_CERTIFICATE;
  if (status.ok()) {
    tls = tls::Session::Server(*std::move(certificate), core_.verifier);
    status = tls.status();
    reason = MESH_REASON_TLS_FAILURE;
  }
  if (!status.ok()) {
    core_.metrics.EarlyFailure(telemetry::Direction::kInbound,
                               client.PeerAddress().value_or(SocketAddress()),
                               client.LocalAddress().value_or(SocketAddress()),
                               telemetry::WithReason(std::move(status), reason));
    client.Reset();
    co_return;
  }
  tunnels_.push_back(std::make_unique<Tunnel>(*this, std::move(client), *std::move(tls)));
  tunnels_.back()->place = std::prev(tunnels_.end());
  tunnels_.back()->connection().Start();
  if (draining_) tunnels_.back()->connection().Drain();
}

void FrontDoor::Drain() {
  draining_ = true;
  listener_.reset();
  for (const auto& tunnel : tunnels_) tunnel->connection().Drain();
}

void FrontDoor::OnClosed(Tunnel& tunnel) {
  dead_.splice(dead_.end(), tunnels_, tunnel.place);
  core_.loop.Defer(*this);
}

void FrontDoor::RunDeferred() { dead_.clear(); }

}  // namespace mesh::waypoint

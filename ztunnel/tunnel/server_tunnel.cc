#include "ztunnel/tunnel/server_tunnel.h"

#include "ztunnel/base/status.h"
#include "ztunnel/core/hbone/certificates.h"
#include "ztunnel/core/hbone/headers.h"
#include "ztunnel/tunnel/serve.h"

namespace mesh::tunnel {
namespace {

hbone::Connection::Options ServerOptions(const WorkerCore& core) {
  hbone::Connection::Options options = core.TunnelOptions();
  options.h2.server = true;
  options.h2.max_concurrent_streams = core.config.max_concurrent_streams;
  return options;
}

}  // namespace

ServerTunnel::ServerTunnel(WorkerCore& core, PodRuntime& pod, net::Socket socket,
                           std::unique_ptr<tls::Session> tls)
    : core_(core),
      pod_(pod),
      peer_(socket.PeerAddress().value_or(SocketAddress())),
      local_(socket.LocalAddress().value_or(SocketAddress())),
      connection_(core.loop, core.buffers, std::move(socket), std::move(tls), ServerOptions(core),
                  *this) {}

h2::StreamHandler* ServerTunnel::OnRequest(hbone::Connection& connection, int32_t stream,
                                           h2::Headers headers) {
  if (pod_.FullOfConnections()) {
    connection.RespondAndEnd(stream, hbone::RefusalHeaders("503", MESH_REASON_LIMIT));
    return nullptr;
  }
  auto relay = std::make_unique<TunnelRelay>(core_.loop, TunnelRelay::AppIs::kServer);
  relay->Bind(connection, stream);
  TunnelRelay* handler = relay.get();
  TunnelRequest request{std::move(headers), peer_, local_, *connection.peer(),
                        connection.peer_chain()};
  pod_.Spawn(ServeStream(core_, pod_, std::move(request), std::move(relay)));
  return handler;
}

void ServerTunnel::OnOpen(hbone::Connection&) {
  opened_ = true;
  pod_.TunnelOpened(*this);
}

// A peer whose certificate is over proves itself anew.
void ServerTunnel::OnTick(hbone::Connection& connection) {
  if (!connection.going_away() && connection.peer_not_after() <= absl::Now()) connection.Drain();
}

void ServerTunnel::OnClosed(hbone::Connection&, const absl::Status& status) {
  if (!opened_ && !status.ok()) {
    core_.metrics.EarlyFailure(telemetry::Direction::kInbound, peer_, local_, status);
  }
  pod_.TunnelClosed(*this);
}

base::Task<void> ServeTunnel(WorkerCore& core, PodRuntime& pod, net::Socket client) {
  client.Apply(core.TunnelSocketOptions());
  absl::StatusOr<identity::CertificateRef> certificate = co_await hbone::GetCertificate(
      core.loop, core.certificates, pod.pod->Identity(), core.config.handshake_timeout);
  absl::StatusOr<std::unique_ptr<tls::Session>> tls(nullptr);
  absl::Status status = certificate.status();
  mesh_reason reason = MESH_REASON_NO_CERTIFICATE;
  if (status.ok()) {
    tls = tls::Session::Server(*std::move(certificate), core.verifier);
    status = tls.status();
    reason = MESH_REASON_TLS_FAILURE;
  }
  if (!status.ok()) {
    core.metrics.EarlyFailure(telemetry::Direction::kInbound,
                              client.PeerAddress().value_or(SocketAddress()),
                              client.LocalAddress().value_or(SocketAddress()),
                              telemetry::WithReason(std::move(status), reason));
    client.Reset();
    co_return;
  }
  pod.AddTunnel(std::move(client), *std::move(tls));
}

}  // namespace mesh::tunnel

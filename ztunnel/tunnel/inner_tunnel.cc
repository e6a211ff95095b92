#include "ztunnel/tunnel/inner_tunnel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "ztunnel/base/status.h"
#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::tunnel {

InnerTunnel::InnerTunnel(WorkerCore& core, std::unique_ptr<TunnelRelay> outer, UniqueFd end)
    : outer_(std::move(outer)), end_(std::move(end)), opened_(core.loop), closed_(core.loop) {}

InnerTunnel::~InnerTunnel() = default;

absl::StatusOr<std::unique_ptr<InnerTunnel>> InnerTunnel::Start(WorkerCore& core,
                                                                std::unique_ptr<TunnelRelay> outer,
                                                                std::unique_ptr<tls::Session> tls) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
    return telemetry::WithReason(Errno(errno, "socketpair"), MESH_REASON_LIMIT);
  }
  UniqueFd inner(pair[0]), outside(pair[1]);
  UniqueFd end(::fcntl(inner.get(), F_DUPFD_CLOEXEC, 0));
  if (!end) return telemetry::WithReason(Errno(errno, "dup"), MESH_REASON_LIMIT);
  std::unique_ptr<InnerTunnel> tunnel(new InnerTunnel(core, std::move(outer), std::move(end)));
  tunnel->connection_ =
      std::make_unique<hbone::Connection>(core.loop, core.buffers, net::Socket(std::move(inner)),
                                          std::move(tls), core.TunnelOptions(), *tunnel);
  tunnel->outer_->Start(net::Socket(std::move(outside)), Counters{});
  tunnel->connection_->Start();
  return tunnel;
}

void InnerTunnel::OnOpen(hbone::Connection&) { opened_.Set(); }

void InnerTunnel::OnClosed(hbone::Connection&, const absl::Status& status) {
  status_ = status;
  if (status_.ok()) {
    status_ = telemetry::WithReason(Unavailable("the inner tunnel closed before it was open"),
                                    MESH_REASON_TLS_FAILURE);
  }
  opened_.Set();
  closed_.Set();
}

base::Task<absl::Status> InnerTunnel::Opened() {
  co_await opened_.Wait();
  if (closed_.is_set()) co_return WithContext(status_, "inside the tunnel to the gateway");
  co_return absl::OkStatus();
}

base::Task<void> InnerTunnel::Finish(absl::Duration limit) {
  connection_->CloseWhenSent();
  co_await closed_.Wait(limit);
  ::shutdown(end_.get(), SHUT_WR);
  co_await outer_->Done().Wait(limit);
}

}  // namespace mesh::tunnel

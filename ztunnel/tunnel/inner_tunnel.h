// A tunnel inside a tunnel: how an endpoint on another network is reached through its gateway,
// which ends the outer tunnel and passes the bytes of the inner one on without being able to read
// them.
//
// The inner connection reads and writes one end of a socket pair; the outer tunnel's relay takes
// the other end for its application. So both are what they are elsewhere, and what is bounded there
// is bounded here; the price is one more copy, on a path that leaves the network anyway. One inner
// connection carries one stream. Owner: the task of the connection. Thread: the loop's.
#pragma once

#include <absl/status/statusor.h>

#include <memory>

#include "ztunnel/base/async/task.h"
#include "ztunnel/core/hbone/connection.h"
#include "ztunnel/tunnel/tunnel_relay.h"
#include "ztunnel/tunnel/worker_core.h"

namespace mesh::tunnel {

class InnerTunnel final : public hbone::Connection::Owner {
 public:
  // `outer`: its tunnel was answered. `tls`: a client that knows whom to accept at the far end.
  static absl::StatusOr<std::unique_ptr<InnerTunnel>> Start(WorkerCore& core,
                                                            std::unique_ptr<TunnelRelay> outer,
                                                            std::unique_ptr<tls::Session> tls);
  ~InnerTunnel() override;

  // Waits until both sides have proved who they are; bounded by the handshake's own deadline.
  base::Task<absl::Status> Opened();
  hbone::Connection& connection() { return *connection_; }
  // After the stream has ended: what it left in the pair goes out, then the outer tunnel ends.
  // Waits for at most `limit`.
  base::Task<void> Finish(absl::Duration limit);

 private:
  InnerTunnel(WorkerCore& core, std::unique_ptr<TunnelRelay> outer, UniqueFd end);
  void OnOpen(hbone::Connection&) override;
  void OnClosed(hbone::Connection&, const absl::Status& status) override;

  std::unique_ptr<TunnelRelay> outer_;
  UniqueFd end_;  // the inner side of the pair once more: it is shut, not closed, when all is sent
  base::Event opened_, closed_;
  absl::Status status_;
  std::unique_ptr<hbone::Connection> connection_;  // goes first
};

}  // namespace mesh::tunnel

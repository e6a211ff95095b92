// A peer's tunnel to one of our pods: turns each request into a task of the pod.
#pragma once

#include <memory>

#include "ztunnel/core/hbone/connection.h"
#include "ztunnel/tunnel/pod_runtime.h"

namespace mesh::tunnel {

class ServerTunnel final : public hbone::Connection::Owner {
 public:
  ServerTunnel(WorkerCore& core, PodRuntime& pod, net::Socket socket,
               std::unique_ptr<tls::Session> tls);

  hbone::Connection& connection() { return connection_; }
  TunnelPlace& place() { return place_; }  // the pod's

 private:
  void OnOpen(hbone::Connection&) override;
  h2::StreamHandler* OnRequest(hbone::Connection& connection, int32_t stream,
                               h2::Headers headers) override;
  void OnTick(hbone::Connection& connection) override;
  void OnClosed(hbone::Connection& connection, const absl::Status& status) override;

  WorkerCore& core_;
  PodRuntime& pod_;
  const SocketAddress peer_;
  const SocketAddress local_;
  TunnelPlace place_;
  bool opened_ = false;
  hbone::Connection connection_;
};

}  // namespace mesh::tunnel

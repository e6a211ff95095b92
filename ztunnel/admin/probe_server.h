// A port for health probes, open to all: answered from the loop, so that nobody who holds
// connections or speaks slowly keeps the kubelet from its answer.
//
// One GET or HEAD a connection, 4 KiB at most, within 5 s; when kMaxConnections are open the oldest
// gives way. Owner: cmd. Thread: the loop's; handlers run on it. Destroying it closes everything.
#pragma once

#include <absl/status/statusor.h>

#include <list>
#include <memory>
#include <optional>
#include <string_view>

#include "ztunnel/admin/http_server.h"
#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/core/net/connect.h"
#include "ztunnel/core/net/listener.h"

namespace mesh::admin {

// Nothing when the head of a request is none that is answered here.
std::optional<HttpRequest> ParseProbe(std::string_view head);

class ProbeServer {
 public:
  static constexpr size_t kMaxConnections = 256;

  static absl::StatusOr<std::unique_ptr<ProbeServer>> Start(base::EventLoop& loop,
                                                            const net::ListenOptions& options,
                                                            HttpHandler handler);
  ~ProbeServer();
  uint16_t port() const { return listener_->port(); }

 private:
  class Client;
  using Clients = std::list<std::unique_ptr<Client>>;

  ProbeServer(base::EventLoop& loop, HttpHandler handler);
  void Accept(net::Socket socket);

  base::EventLoop& loop_;
  const HttpHandler handler_;
  Clients clients_;  // oldest first
  std::optional<net::Listener> listener_;
};

}  // namespace mesh::admin

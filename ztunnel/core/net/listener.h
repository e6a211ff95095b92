// Accepts until there is nothing left to accept, then waits for the next edge.
//
// Thread: the loop's. `on_accept` may not destroy the listener. A process that is out of
// descriptors (or of watches) keeps the connection in the backlog and tries again a little later.
#pragma once

#include <functional>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/core/net/socket.h"

namespace mesh::net {

class Listener final : public base::EventHandler {
 public:
  Listener(base::EventLoop& loop, UniqueFd fd, std::function<void(Socket)> on_accept);
  ~Listener() override;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  uint16_t port() const { return port_; }
  // Accepts what waits in the backlog: closing resets what is there.
  void AcceptAll();
  void OnEvents(uint32_t events) override;

 private:
  enum class Accepted { kOne, kNone, kNoRoom };
  Accepted AcceptOne();
  void Watch();

  base::EventLoop& loop_;
  UniqueFd fd_;
  std::function<void(Socket)> on_accept_;
  base::EventLoop::TimerId retry_ = 0;
  uint16_t port_ = 0;
};

}  // namespace mesh::net

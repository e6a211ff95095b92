// A dual-stack TCP listener and the connections it accepted.
//
// Owner: the loop's thread. At kMaxConnections the listener rests until one ends (the kernel's
// backlog then fills and new clients wait). Drain() stops accepting and lets connections finish.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>

#include "tools/meshapp/connection.h"

namespace mesh::meshapp {

class Server : public Loop::Handler {
 public:
  static constexpr size_t kMaxConnections = 15'000;
  using Factory = std::function<std::unique_ptr<Protocol>(Connection&)>;

  // `port` 0 takes any free one. Several servers, one a thread, may share a port.
  static absl::StatusOr<std::unique_ptr<Server>> Listen(Loop& loop, uint16_t port, Factory factory);
  ~Server() override;

  uint16_t port() const { return port_; }
  size_t connections() const { return connections_.size(); }
  // `on_empty` runs once, when the last connection has ended.
  void Drain(std::function<void()> on_empty);
  void OnEvents(uint32_t events) override;

 private:
  Server(Loop& loop, UniqueFd fd, uint16_t port, Factory factory);
  void OnClosed(Connection* connection);

  Loop& loop_;
  UniqueFd fd_;
  uint16_t port_;
  Factory factory_;
  std::function<void()> on_empty_;
  bool resting_ = false;
  std::unordered_map<Connection*, std::unique_ptr<Connection>> connections_;
};

}  // namespace mesh::meshapp

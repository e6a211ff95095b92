// One connection of a client, inside its tunnel: finds out what it speaks and serves that.
//
// A port that is declared HTTP is HTTP: bytes that are no HTTP are answered 400. A port that is
// declared nothing is looked at: a method line or the HTTP/2 preface is HTTP, anything else, or
// nothing for Options::detect_timeout, is passed on as TCP. Owner: Downstreams of a worker. Thread:
// the loop's.
#pragma once

#include <list>
#include <memory>

#include "ztunnel/base/async/task_set.h"
#include "ztunnel/waypoint/proxy/exchange.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::waypoint {

// All connections of a worker, and the requests on them.
class Downstreams final : public base::Deferred {
 public:
  explicit Downstreams(Core& core);
  ~Downstreams() override;

  void Add(SceneRef scene, std::unique_ptr<transport::Transport> transport);
  void Drain();
  size_t size() const { return live_.size(); }

 private:
  class Connection;
  void OnClosed(Connection& connection);
  void RunDeferred() override;

  Core& core_;
  std::list<std::unique_ptr<Connection>> live_, dead_;
  base::TaskSet requests_;  // end before the connections that carry them
  bool draining_ = false;
};

}  // namespace mesh::waypoint

// Where clients come in: tunnels on port 15008, and inside each the connections that they ask for.
//
// A tunnel request is answered 200 as soon as its target is known; what happens to the connection
// inside is HTTP's to say. Owner: Worker. Thread: the loop's.
#pragma once

#include <list>
#include <memory>

#include "ztunnel/core/net/listener.h"
#include "ztunnel/waypoint/proxy/downstream.h"

namespace mesh::waypoint {

class FrontDoor final : public base::Deferred {
 public:
  FrontDoor(Core& core, Downstreams& downstreams);
  ~FrontDoor() override;

  absl::Status Listen();
  uint16_t port() const { return listener_ != nullptr ? listener_->port() : 0; }
  // No new tunnels; those that are there take no new streams and close when the last has ended.
  void Drain();
  bool empty() const { return tunnels_.empty(); }

 private:
  class Tunnel;
  base::Task<void> Accept(net::Socket client);
  void OnClosed(Tunnel& tunnel);
  void RunDeferred() override;

  Core& core_;
  Downstreams& downstreams_;
  std::unique_ptr<net::Listener> listener_;
  std::list<std::unique_ptr<Tunnel>> tunnels_, dead_;
  bool draining_ = false;
  base::TaskSet tasks_;  // ends first
};

}  // namespace mesh::waypoint

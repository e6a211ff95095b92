// One connected ztunnel: packets out, each answered within the deadline before the next.
//
// Owner and thread: the server's thread; calls block it for at most the deadline.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <string>

#include "agent/node/zds/codec.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::node::zds {

class Connection {
 public:
  explicit Connection(UniqueFd fd, absl::Duration deadline = absl::Seconds(5))
      : fd_(std::move(fd)), deadline_(deadline) {}

  int fd() const { return fd_.get(); }
  // False once the peer has gone or broke the protocol: to be dropped.
  bool alive() const { return alive_; }

  // The first packet; called when the descriptor is readable.
  absl::Status ReadHello();
  // Sends with at most one descriptor (-1: none) and waits for the answer. Aborted: the proxy
  // refused, the connection is fine. DeadlineExceeded: no answer; the connection is kept. Anything
  // else ends it.
  absl::Status Ask(const std::string& packet, int fd = -1);
  // The descriptor is readable with nothing asked: gone, or speaking out of turn.
  void OnUnasked();

 private:
  absl::Status Receive(std::string& packet);
  absl::Status Broken(absl::Status status);

  UniqueFd fd_;
  absl::Duration deadline_;
  bool alive_ = true;
};

}  // namespace mesh::node::zds

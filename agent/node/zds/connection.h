// One connected ztunnel: packets out, each answered before the next is sent, and none waited for.
//
// Requests queue up; a ztunnel that leaves one unanswered for the deadline, or lets more than
// kMaxQueued wait, is not alive any more. Every request's `done` runs once: with the answer (OK;
// Aborted: refused, in ztunnel's words), or Unavailable. Owner and thread: the server's thread;
// nothing blocks. `done` may not call back.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "agent/node/zds/codec.h"
#include "ztunnel/base/netns.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::node::zds {

class Connection {
 public:
  static constexpr size_t kMaxQueued = 16'384;  // a snapshot and more

  struct Request {
    std::string packet;
    std::shared_ptr<const Netns> netns = nullptr;  // its descriptor goes along; null: none does
    std::function<void(const absl::Status&)> done = [](const absl::Status&) {};
    // Who waits for the answer waits no longer; the request is made all the same.
    absl::Time patience = absl::InfiniteFuture();
  };

  explicit Connection(UniqueFd fd, absl::Duration deadline = absl::Seconds(5));
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return fd_.get(); }
  short events() const;  // to poll for
  // False once the peer has gone, broke the protocol or fell silent: to be dropped.
  bool alive() const { return alive_; }

  // The first packet; called when the descriptor is readable.
  absl::Status ReadHello();
  void Ask(Request request);
  // The descriptor is ready: an answer, or the end, or speech out of turn.
  void OnReady();
  // Looks at the clock; returns when to look again.
  absl::Time Tick(absl::Time now);

 private:
  void SendNext();
  void Answer(const absl::Status& status);
  absl::Status Receive(std::string& packet);
  void Break(const absl::Status& why);

  UniqueFd fd_;
  const absl::Duration deadline_;
  std::deque<Request> queue_;  // the first is asked already, when asked_
  bool asked_ = false;
  bool blocked_ = false;  // the socket takes no packet for now
  bool alive_ = true;
  absl::Time answer_by_ = absl::InfiniteFuture();
};

}  // namespace mesh::node::zds

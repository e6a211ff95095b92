// Carries bytes of one application connection both ways until both directions have ended.
//
// Half-closes and resets are passed on as they were. Done() is set once; result() is OK when both
// sides ended as they wanted. Owner: the task that serves the connection. Thread: the loop's.
#pragma once

#include <absl/status/status.h>

#include "ztunnel/base/async/event.h"
#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::tunnel {

class Relay {
 public:
  explicit Relay(base::EventLoop& loop) : done_(loop) {}
  virtual ~Relay() = default;
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  base::Event& Done() { return done_; }
  const absl::Status& result() const { return result_; }
  // Resets both sides and ends with `status`.
  virtual void Abort(absl::Status status) = 0;

 protected:
  bool finished() const { return done_.is_set(); }
  void Finish(absl::Status status) {
    if (done_.is_set()) return;
    result_ = std::move(status);
    done_.Set();
  }

 private:
  base::Event done_;
  absl::Status result_;
};

// Who hears of carried bytes; either may be null.
struct Counters {
  telemetry::ConnectionRecord* first = nullptr;
  telemetry::ConnectionRecord* second =
      nullptr;  // same node: the destination's record beside the source's

  void ToServer(uint64_t bytes) {
    if (first != nullptr) first->AddReceived(bytes);
    if (second != nullptr) second->AddReceived(bytes);
  }
  void ToClient(uint64_t bytes) {
    if (first != nullptr) first->AddSent(bytes);
    if (second != nullptr) second->AddSent(bytes);
  }
};

}  // namespace mesh::tunnel

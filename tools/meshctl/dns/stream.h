// Whole DNS messages over a stream socket (RFC 1035, section 4.2.2), and waiting for any socket.
//
// Owner: the coroutine that uses it. Thread: the loop's. Every wait ends at a deadline.
#pragma once

#include <absl/time/time.h>

#include <string>

#include "ztunnel/base/async/event.h"
#include "ztunnel/base/async/task.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::local {

// A descriptor of the loop that a coroutine waits for. One that cannot be watched is closed at
// once.
class WaitedFd final : public base::EventHandler {
 public:
  WaitedFd(base::EventLoop& loop, UniqueFd fd);
  ~WaitedFd() override;
  WaitedFd(const WaitedFd&) = delete;
  WaitedFd& operator=(const WaitedFd&) = delete;

  void OnEvents(uint32_t) override { ready_.Set(); }
  int fd() const { return fd_.get(); }
  // Before a call that may say EAGAIN.
  void Arm() { ready_.Clear(); }
  base::Event::Waiter UntilReady(absl::Time deadline) {
    return ready_.Wait(deadline - loop_.Now());
  }

 private:
  base::EventLoop& loop_;
  UniqueFd fd_;
  base::Event ready_;
};

// Empty: the end, an error, or the deadline.
base::Task<std::string> ReadMessage(WaitedFd& socket, absl::Time deadline);
base::Task<bool> WriteMessage(WaitedFd& socket, std::string message, absl::Time deadline);

}  // namespace mesh::local

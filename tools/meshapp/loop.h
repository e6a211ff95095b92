// A small level-triggered epoll loop: readiness, timers, posted work. One per thread of the sample.
//
// Owner and thread: the thread that calls Run(); Post() and Stop() are for any thread. A handler
// that ends during a callback calls Remove() and lets itself be destroyed through Defer(), because
// events of the same turn may still name it.
#pragma once

#include <absl/status/statusor.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "ztunnel/base/unique_fd.h"

namespace mesh::meshapp {

class Loop {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    virtual void OnEvents(uint32_t epoll_events) = 0;
  };
  using TimerId = uint64_t;  // never 0

  static absl::StatusOr<std::unique_ptr<Loop>> Open();

  void Run();   // until Stop()
  void Stop();  // any thread
  void Post(std::function<void()> fn);
  void Defer(std::function<void()> fn);  // at the end of this turn

  void Add(int fd, uint32_t events, Handler& handler);
  void Modify(int fd, uint32_t events, Handler& handler);
  void Remove(int fd);

  TimerId After(std::chrono::milliseconds delay, std::function<void()> fn);

 private:
  using Clock = std::chrono::steady_clock;
  Loop(UniqueFd epoll, UniqueFd wake) : epoll_(std::move(epoll)), wake_(std::move(wake)) {}
  int WaitMs() const;
  void RunPosted();
  void RunDue();

  UniqueFd epoll_;
  UniqueFd wake_;
  bool stopped_ = false;  // guarded by mutex_
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
  std::vector<std::function<void()>> deferred_;
  std::map<std::pair<Clock::time_point, TimerId>, std::function<void()>> timers_;
  TimerId next_timer_ = 1;
};

}  // namespace mesh::meshapp

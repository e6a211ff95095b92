// Work for the main thread from other threads.
//
// Owner: the node's main, which polls fd() and calls Drain(). Bounded: at most 1024 entries wait;
// posting beyond that drops the work (Post) or fails (Call).
#pragma once

#include <sys/eventfd.h>

#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "ztunnel/base/unique_fd.h"

namespace mesh::node {

class MainQueue {
 public:
  MainQueue() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  int fd() const { return wake_.get(); }

  bool Post(std::function<void()> fn) {
    {
      std::lock_guard lock(mutex_);
      if (closed_ || work_.size() >= kMax) return false;
      work_.push_back(std::move(fn));
    }
    const uint64_t one = 1;
    return ::write(wake_.get(), &one, sizeof(one)) == sizeof(one);
  }
  // Runs `fn` on the main thread and waits for its answer; nothing when the main thread ends first.
  template <typename Fn>
  auto Call(Fn fn) -> std::optional<decltype(fn())> {
    using Result = std::optional<decltype(fn())>;
    auto promise = std::make_shared<std::promise<Result>>();
    std::future<Result> future = promise->get_future();
    // Dropped work must not leave the caller waiting: the guard answers when nobody else did.
    struct Guard {
      explicit Guard(std::shared_ptr<std::promise<Result>> p) : promise(std::move(p)) {}
      Guard(const Guard&) = delete;
      Guard& operator=(const Guard&) = delete;
      ~Guard() {
        if (!answered) promise->set_value(std::nullopt);
      }
      std::shared_ptr<std::promise<Result>> promise;
      bool answered = false;
    };
    auto guard = std::make_shared<Guard>(std::move(promise));
    Post([guard, fn = std::move(fn)]() mutable {
      guard->answered = true;
      guard->promise->set_value(fn());
    });
    guard.reset();
    return future.get();
  }
  // Has fd() readable once more.
  void Wake() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake_.get(), &one, sizeof(one));
  }
  void Drain() {
    uint64_t n;
    [[maybe_unused]] const ssize_t read = ::read(wake_.get(), &n, sizeof(n));
    std::deque<std::function<void()>> work;
    {
      std::lock_guard lock(mutex_);
      work.swap(work_);
    }
    for (auto& fn : work) fn();
  }
  // Drops what waits, and what is posted later.
  void Close() {
    std::deque<std::function<void()>> work;
    std::lock_guard lock(mutex_);
    closed_ = true;
    work.swap(work_);
  }

 private:
  static constexpr size_t kMax = 1024;
  UniqueFd wake_;
  std::mutex mutex_;
  std::deque<std::function<void()>> work_;
  bool closed_ = false;
};

}  // namespace mesh::node

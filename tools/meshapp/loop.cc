#include "tools/meshapp/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cerrno>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::meshapp {

absl::StatusOr<std::unique_ptr<Loop>> Loop::Open() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return Errno(errno, "epoll_create1");
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return Errno(errno, "eventfd");
  epoll_event event = {.events = EPOLLIN, .data = {.ptr = nullptr}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return Errno(errno, "epoll_ctl of the wake-up descriptor");
  }
  return std::unique_ptr<Loop>(new Loop(std::move(epoll), std::move(wake)));
}

void Loop::Run() {
  epoll_event events[256];
  while (true) {
    {
      std::lock_guard lock(mutex_);
      if (stopped_) return;
    }
    const int n = ::epoll_wait(epoll_.get(), events, std::size(events), WaitMs());
    bool woken = false;
    for (int i = 0; i < n; ++i) {
      if (events[i].data.ptr == nullptr) {
        woken = true;
      } else {
        static_cast<Handler*>(events[i].data.ptr)->OnEvents(events[i].events);
      }
    }
    if (woken) RunPosted();
    RunDue();
    // What this defers in turn waits for the next turn, so that one busy writer starves nobody.
    for (auto& fn : std::exchange(deferred_, {})) fn();
  }
}

void Loop::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  Post([] {});
}

void Loop::Post(std::function<void()> fn) {
  {
    std::lock_guard lock(mutex_);
    posted_.push_back(std::move(fn));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wake_.get(), &one, sizeof(one));
}

void Loop::Defer(std::function<void()> fn) { deferred_.push_back(std::move(fn)); }

void Loop::Add(int fd, uint32_t events, Handler& handler) {
  epoll_event event = {.events = events, .data = {.ptr = &handler}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) Fatal("epoll_ctl add", errno);
}

void Loop::Modify(int fd, uint32_t events, Handler& handler) {
  epoll_event event = {.events = events, .data = {.ptr = &handler}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) Fatal("epoll_ctl modify", errno);
}

void Loop::Remove(int fd) { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

Loop::TimerId Loop::After(std::chrono::milliseconds delay, std::function<void()> fn) {
  const TimerId id = next_timer_++;
  timers_.emplace(std::pair(Clock::now() + delay, id), std::move(fn));
  return id;
}

int Loop::WaitMs() const {
  if (!deferred_.empty()) return 0;
  if (timers_.empty()) return -1;
  const auto left = timers_.begin()->first.first - Clock::now();
  if (left <= Clock::duration::zero()) return 0;
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
}

void Loop::RunPosted() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(wake_.get(), &count, sizeof(count));
  std::vector<std::function<void()>> posted;
  {
    std::lock_guard lock(mutex_);
    posted.swap(posted_);
  }
  for (auto& fn : posted) fn();
}

void Loop::RunDue() {
  if (timers_.empty()) return;
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    const auto fn = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    fn();
  }
}

}  // namespace mesh::meshapp

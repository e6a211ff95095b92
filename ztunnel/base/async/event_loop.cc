#include "ztunnel/base/async/event_loop.h"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "ztunnel/base/async/timer_heap.h"
#include "ztunnel/base/async/turn_queue.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::base {
namespace {

constexpr int kBatch = 256;
constexpr int kFlushRounds = 8;  // a flusher that asks again and again waits for the next turn

int64_t MonotonicNs() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

struct EventLoop::Impl {
  UniqueFd epoll;
  UniqueFd wakeup;
  std::atomic<bool> stop = false;
  std::atomic<std::thread::id> thread;
  int64_t now_ns = MonotonicNs();

  std::mutex mutex;  // of `posted` alone
  std::vector<std::function<void()>> posted;
  std::atomic<bool> has_posted = false;

  TimerHeap timers;
  TurnQueue<Deferred> deferred;
  TurnQueue<Flusher> flushers;

  std::array<epoll_event, kBatch> batch;
  int batch_size = 0;
  int batch_next = 0;

  void Wake() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wakeup.get(), &one, sizeof one);
  }

  int Wait(int timeout_ms) {
    const int n = epoll_wait(epoll.get(), batch.data(), kBatch, timeout_ms);
    now_ns = MonotonicNs();
    if (n < 0) {
      if (errno != EINTR) Fatal("epoll_wait", errno);
      return 0;
    }
    return n;
  }

  void Deliver(int n) {
    batch_size = n;
    for (batch_next = 0; batch_next < batch_size;) {
      const epoll_event& event = batch[batch_next++];
      if (event.data.ptr == nullptr) continue;  // removed meanwhile
      if (event.data.ptr == this) {
        uint64_t count;
        [[maybe_unused]] const ssize_t r = ::read(wakeup.get(), &count, sizeof count);
        continue;
      }
      static_cast<EventHandler*>(event.data.ptr)->OnEvents(event.events);
    }
    batch_size = 0;
  }

  void RunPosted() {
    if (!has_posted.load(std::memory_order_acquire)) return;
    std::vector<std::function<void()>> work;
    {
      std::lock_guard lock(mutex);
      work.swap(posted);
      has_posted.store(false, std::memory_order_relaxed);
    }
    for (auto& fn : work) {
      fn();
      fn = nullptr;  // what it captured dies here, in order
    }
  }

  void RunTimers() {
    while (std::function<void()> fn = timers.TakeDue(now_ns)) fn();
  }

  void RunDeferred() {
    for (int round = 0; round < kFlushRounds && !deferred.empty(); ++round) {
      deferred.RunRound([](Deferred& d) { d.RunDeferred(); });
    }
  }

  void RunFlushers() {
    for (int round = 0; round < kFlushRounds && !flushers.empty(); ++round) {
      flushers.RunRound([](Flusher& f) { f.Flush(); });
      RunDeferred();
    }
  }

  int TimeoutMs() {
    if (!deferred.empty() || !flushers.empty() || has_posted.load(std::memory_order_acquire))
      return 0;
    const int64_t due = timers.NextDue();
    if (due < 0) return -1;
    const int64_t wait = due - MonotonicNs();
    // Rounded up, so that a timer is due when the wait is over.
    return wait <= 0 ? 0
                     : static_cast<int>(std::min<int64_t>((wait + 999'999) / 1'000'000, 60'000));
  }
};

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {
  impl_->epoll.Reset(epoll_create1(EPOLL_CLOEXEC));
  impl_->wakeup.Reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!impl_->epoll || !impl_->wakeup) Fatal("epoll_create1 or eventfd", errno);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = impl_.get();
  if (epoll_ctl(impl_->epoll.get(), EPOLL_CTL_ADD, impl_->wakeup.get(), &event) != 0) {
    Fatal("epoll_ctl wakeup", errno);
  }
}

EventLoop::~EventLoop() {
  // Work that never ran may, in dying, post or cancel: the loop's parts still exist here.
  std::vector<std::function<void()>> work;
  {
    std::lock_guard lock(impl_->mutex);
    work.swap(impl_->posted);
  }
}

void EventLoop::Run() {
  impl_->thread = std::this_thread::get_id();
  while (!impl_->stop.load(std::memory_order_acquire)) {
    impl_->Deliver(impl_->Wait(impl_->TimeoutMs()));
    impl_->RunPosted();
    impl_->RunTimers();
    impl_->RunDeferred();
    impl_->Deliver(impl_->Wait(0));
    impl_->RunDeferred();
    impl_->RunFlushers();
  }
  impl_->stop = false;
  impl_->thread = std::thread::id();
}

void EventLoop::Stop() {
  impl_->stop.store(true, std::memory_order_release);
  impl_->Wake();
}

void EventLoop::Post(std::function<void()> fn) {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->posted.push_back(std::move(fn));
    impl_->has_posted.store(true, std::memory_order_release);
  }
  if (!InLoopThread()) impl_->Wake();
}

absl::Status EventLoop::Add(int fd, uint32_t events, EventHandler& handler) {
  epoll_event event{};
  event.events = events | EPOLLET;
  event.data.ptr = &handler;
  if (epoll_ctl(impl_->epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return Errno(errno, "watch a descriptor");
}

void EventLoop::Modify(int fd, uint32_t events, EventHandler& handler) {
  epoll_event event{};
  event.events = events | EPOLLET;
  event.data.ptr = &handler;
  if (epoll_ctl(impl_->epoll.get(), EPOLL_CTL_MOD, fd, &event) != 0) Fatal("epoll_ctl mod", errno);
}

void EventLoop::Remove(int fd, EventHandler& handler) {
  epoll_ctl(impl_->epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
  for (int i = impl_->batch_next; i < impl_->batch_size; ++i) {
    if (impl_->batch[i].data.ptr == &handler) impl_->batch[i].data.ptr = nullptr;
  }
}

EventLoop::TimerId EventLoop::After(absl::Duration delay, std::function<void()> fn) {
  const int64_t ns = std::max<int64_t>(0, absl::ToInt64Nanoseconds(delay));
  return impl_->timers.Add(MonotonicNs() + ns, std::move(fn));
}

void EventLoop::CancelTimer(TimerId id) { impl_->timers.Cancel(id); }

void EventLoop::Defer(Deferred& deferred) { impl_->deferred.Add(deferred); }

void EventLoop::CancelDefer(Deferred& deferred) { impl_->deferred.Cancel(deferred); }

void EventLoop::RequestFlush(Flusher& flusher) { impl_->flushers.Add(flusher); }

void EventLoop::CancelFlush(Flusher& flusher) { impl_->flushers.Cancel(flusher); }

absl::Time EventLoop::Now() const { return absl::UnixEpoch() + absl::Nanoseconds(impl_->now_ns); }

bool EventLoop::InLoopThread() const { return impl_->thread.load() == std::this_thread::get_id(); }

}  // namespace mesh::base

// One thread's epoll loop: readiness, timers and work posted from other threads.
//
// Owner and thread: the thread that calls Run(). Everything but Post() and Stop() is for that
// thread only (or before Run). One turn: wait, deliver every ready event, run posted work and due
// timers, look once more without waiting, resume what was deferred, then run the flushers: what was
// produced in a turn is sent in one go.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>
#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <memory>

namespace mesh::base {

// Told about readiness of one descriptor. May be destroyed (after Remove) from within a callback.
class EventHandler {
 public:
  virtual ~EventHandler() = default;
  virtual void OnEvents(uint32_t epoll_events) = 0;
};

// Where a queue of the loop holds an object, so that it is found there at once.
class QueuePlace {
  template <typename T>
  friend class TurnQueue;
  uint64_t round_ = 0;  // 0: in no queue
  size_t index_ = 0;
};

// Runs at the end of a turn in which it asked for it.
class Flusher : public QueuePlace {
 public:
  virtual ~Flusher() = default;
  virtual void Flush() = 0;
};

// Runs once, soon, from the top of the stack: how a callback hands over to code that may destroy
// the caller of that callback.
class Deferred : public QueuePlace {
 public:
  virtual ~Deferred() = default;
  virtual void RunDeferred() = 0;
};

class EventLoop {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void Run();   // until Stop()
  void Stop();  // any thread
  // Runs `fn` on the loop's thread, after what was posted before it. Any thread. Work posted after
  // the loop ended is destroyed with the loop, not run.
  void Post(std::function<void()> fn);

  // Edge-triggered. The handler outlives its registration. An error (the user's watches or the
  // memory are used up): the handler will not be told, and what it serves is to be given up.
  [[nodiscard]] absl::Status Add(int fd, uint32_t events, EventHandler& handler);
  void Modify(int fd, uint32_t events, EventHandler& handler);
  void Remove(int fd, EventHandler& handler);

  using TimerId = uint64_t;  // never 0
  TimerId After(absl::Duration delay, std::function<void()> fn);
  void CancelTimer(TimerId id);  // unknown or fired: no effect

  // RunDeferred() once, later in this turn and before the flushers. Who dies must CancelDefer
  // first.
  void Defer(Deferred& deferred);
  void CancelDefer(Deferred& deferred);

  // Flush() once at the end of this turn, however often it was asked for. A flusher that dies must
  // CancelFlush first.
  void RequestFlush(Flusher& flusher);
  void CancelFlush(Flusher& flusher);

  // Monotonic, read once a turn.
  absl::Time Now() const;
  bool InLoopThread() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::base

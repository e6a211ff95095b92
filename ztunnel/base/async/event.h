// What a coroutine waits for: an event that is set once, or a moment.
//
// Thread: the loop's. One waiter at a time (checked). The waiter resumes from the top of the stack,
// in the same turn, never from within Set(): who sets an event may be destroyed by the waiter.
// Destroying the waiting coroutine cancels the wait.
#pragma once

#include <coroutine>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/base/log.h"

namespace mesh::base {

class Event {
 public:
  explicit Event(EventLoop& loop) : loop_(loop) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void Set() {
    if (set_) return;
    set_ = true;
    if (waiter_ != nullptr) loop_.Defer(*waiter_);
  }
  bool is_set() const { return set_; }
  void Clear() { set_ = false; }

  class Waiter final : public Deferred {
   public:
    // With a timeout of InfiniteDuration no timer is made.
    Waiter(Event& event, absl::Duration timeout) : event_(event), timeout_(timeout) {}
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter() override { Leave(); }

    bool await_ready() const { return event_.set_; }
    void await_suspend(std::coroutine_handle<> handle) {
      MESH_CHECK(event_.waiter_ == nullptr, "two waiters on one event");
      event_.waiter_ = this;
      waiting_ = true;
      handle_ = handle;
      if (timeout_ != absl::InfiniteDuration()) {
        timer_ = event_.loop_.After(timeout_, [this] {
          timer_ = 0;
          event_.loop_.Defer(*this);
        });
      }
    }
    // False when the time passed first.
    bool await_resume() {
      Leave();
      return event_.set_;
    }
    void RunDeferred() override {
      Leave();
      handle_.resume();  // last touch: this object lives in the frame that goes on
    }

   private:
    void Leave() {
      if (!waiting_) return;
      waiting_ = false;
      event_.waiter_ = nullptr;
      event_.loop_.CancelDefer(*this);
      if (timer_ != 0) event_.loop_.CancelTimer(timer_);
      timer_ = 0;
    }
    Event& event_;
    absl::Duration timeout_;
    std::coroutine_handle<> handle_;
    EventLoop::TimerId timer_ = 0;
    bool waiting_ = false;
  };

  Waiter Wait(absl::Duration timeout = absl::InfiniteDuration()) { return Waiter(*this, timeout); }

 private:
  EventLoop& loop_;
  Waiter* waiter_ = nullptr;
  bool set_ = false;
};

// Goes on from the top of the stack, in the same turn.
class Yield final : public Deferred {
 public:
  explicit Yield(EventLoop& loop) : loop_(loop) {}
  Yield(const Yield&) = delete;
  Yield& operator=(const Yield&) = delete;
  ~Yield() override { loop_.CancelDefer(*this); }
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    loop_.Defer(*this);
  }
  void await_resume() {}
  void RunDeferred() override { handle_.resume(); }

 private:
  EventLoop& loop_;
  std::coroutine_handle<> handle_;
};

class Sleep {
 public:
  Sleep(EventLoop& loop, absl::Duration duration) : loop_(loop), duration_(duration) {}
  Sleep(const Sleep&) = delete;
  Sleep& operator=(const Sleep&) = delete;
  ~Sleep() {
    if (timer_ != 0) loop_.CancelTimer(timer_);
  }
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    timer_ = loop_.After(duration_, [this, handle] {
      timer_ = 0;
      handle.resume();
    });
  }
  void await_resume() {}

 private:
  EventLoop& loop_;
  absl::Duration duration_;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace mesh::base

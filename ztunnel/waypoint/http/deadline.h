// A time limit that moves often and passes seldom: moving it further away costs no timer.
//
// Thread: the loop's. `passed` runs once for each limit that passes, from the loop's timers; it may
// not destroy the Deadline.
#pragma once

#include <absl/time/time.h>

#include <functional>
#include <utility>

#include "ztunnel/base/async/event_loop.h"

namespace mesh::http {

class Deadline {
 public:
  Deadline(base::EventLoop& loop, std::function<void()> passed)
      : loop_(loop), passed_(std::move(passed)) {}
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline() { Cancel(); }

  void Set(absl::Duration from_now) {
    due_ = loop_.Now() + from_now;
    if (timer_ != 0 && timer_due_ <= due_) return;
    Cancel();
    Arm(from_now);
  }
  void Clear() { due_ = absl::InfiniteFuture(); }

 private:
  void Arm(absl::Duration from_now) {
    if (from_now == absl::InfiniteDuration()) return;
    timer_due_ = loop_.Now() + from_now;
    timer_ = loop_.After(from_now, [this] { OnTimer(); });
  }
  void Cancel() {
    if (timer_ != 0) loop_.CancelTimer(timer_);
    timer_ = 0;
  }
  void OnTimer() {
    timer_ = 0;
    if (due_ == absl::InfiniteFuture()) return;
    const absl::Duration left = due_ - loop_.Now();
    if (left > absl::ZeroDuration()) return Arm(left);
    Clear();
    passed_();
  }

  base::EventLoop& loop_;
  std::function<void()> passed_;
  absl::Time due_ = absl::InfiniteFuture();
  absl::Time timer_due_;
  base::EventLoop::TimerId timer_ = 0;
};

}  // namespace mesh::http

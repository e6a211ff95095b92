// Time as the certificate manager sees it, so that tests can move it.
//
// Two clocks count: the wall clock, which certificates are written in, and the monotonic one, which
// keeps going right when somebody sets the wall clock back.
#pragma once

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace mesh::identity {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Wall() const { return absl::Now(); }
  virtual absl::Time Monotonic() const {
    return absl::FromUnixNanos(std::chrono::steady_clock::now().time_since_epoch().count());
  }
  // Waits to be notified, at most `longest`.
  virtual void Wait(std::condition_variable& wake, std::unique_lock<std::mutex>& lock,
                    absl::Duration longest) {
    wake.wait_for(lock, absl::ToChronoNanoseconds(longest));
  }
};

}  // namespace mesh::identity

// Host names to addresses, as the node resolves them: getaddrinfo(), on threads of its own.
//
// One a process. A name is looked up once at a time, whoever asks meanwhile waits for that answer.
// The system does not say how long an answer holds, so answers are kept for `keep` and failures for
// `keep_failure`. Bounded: names kept (the one that expires first goes), names waiting for a thread
// and callers waiting for a name (more are refused with ResourceExhausted).
// Thread-safe; one short lock a call. A lookup cannot be interrupted: Stop() leaves its thread
// behind, which then ends by itself and tells nobody.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/base/async/task.h"
#include "ztunnel/base/ip.h"

namespace mesh::net {

// Both families; NotFound when there is no such name, Unavailable when it could not be asked.
absl::StatusOr<std::vector<IpAddress>> SystemLookup(const std::string& host);

class HostResolver {
 public:
  using Result = absl::StatusOr<std::vector<IpAddress>>;  // never empty when OK
  struct Options {
    absl::Duration keep = absl::Seconds(15);
    absl::Duration keep_failure = absl::Seconds(2);
    size_t max_names = 4096;
    size_t max_queued = 1024;
    size_t max_waiters = 65'536;
    size_t threads = 4;  // made when needed
    std::function<Result(const std::string&)> lookup = SystemLookup;
    std::function<absl::Time()> now = absl::Now;
  };
  struct Counters {
    uint64_t lookups = 0;   // that went to the system
    uint64_t failures = 0;  // of those
    uint64_t refused = 0;   // a limit was reached
    size_t names = 0;       // kept now
  };

  explicit HostResolver(Options options);
  ~HostResolver();  // Stop()
  HostResolver(const HostResolver&) = delete;
  HostResolver& operator=(const HostResolver&) = delete;

  // `done` runs once: before this returns when the answer is known (or refused), else on `loop`,
  // which lives until Stop().
  void Resolve(const std::string& host, base::EventLoop& loop, std::function<void(Result)> done);
  // Nothing is posted to any loop any more; who waits is not told.
  void Stop();

  Counters counters() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // its threads hold it, too
};

// Waits for at most `wait`; DeadlineExceeded then.
base::Task<HostResolver::Result> ResolveHost(base::EventLoop& loop, HostResolver& resolver,
                                             std::string host, absl::Duration wait);

}  // namespace mesh::net

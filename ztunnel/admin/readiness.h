// What this process still waits for before it is ready. Thread-safe.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace mesh::admin {

class Readiness {
 public:
  // A task that is pending until it is told otherwise, and may become pending again.
  void Set(const std::string& task, bool ready);
  // "a, b" in the order in which tasks were first named; empty: ready.
  std::string Pending() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, bool>> tasks_;
};

}  // namespace mesh::admin

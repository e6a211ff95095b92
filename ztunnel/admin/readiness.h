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
  // `ready` is asked from the prober's thread at each probe; what it reads outlives this object.
  void Add(std::string task, std::function<bool()> ready);
  // "a, b" in the order of adding; empty: ready.
  std::string Pending() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, std::function<bool()>>> tasks_;
};

}  // namespace mesh::admin

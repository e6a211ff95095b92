#include "ztunnel/admin/readiness.h"

#include <algorithm>

namespace mesh::admin {

void Readiness::Set(const std::string& task, bool ready) {
  std::lock_guard lock(mutex_);
  const auto it = std::find_if(tasks_.begin(), tasks_.end(),
                               [&](const auto& entry) { return entry.first == task; });
  if (it == tasks_.end()) {
    tasks_.emplace_back(task, ready);
  } else {
    it->second = ready;
  }
}

std::string Readiness::Pending() const {
  std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [task, ready] : tasks_) {
    if (ready) continue;
    if (!out.empty()) out += ", ";
    out += task;
  }
  return out;
}

}  // namespace mesh::admin

#include "ztunnel/admin/readiness.h"

namespace mesh::admin {

void Readiness::Add(std::string task, std::function<bool()> ready) {
  std::lock_guard lock(mutex_);
  tasks_.emplace_back(std::move(task), std::move(ready));
}

std::string Readiness::Pending() const {
  std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [task, ready] : tasks_) {
    if (ready()) continue;
    if (!out.empty()) out += ", ";
    out += task;
  }
  return out;
}

}  // namespace mesh::admin

// Root tasks that run side by side: each leaves when it ends; the set's destructor cancels the
// rest.
//
// Thread: one loop. A task of the set must not destroy the set.
#pragma once

#include <cstddef>
#include <list>

#include "ztunnel/base/async/task.h"

namespace mesh::base {

class TaskSet {
 public:
  TaskSet() = default;
  TaskSet(const TaskSet&) = delete;
  TaskSet& operator=(const TaskSet&) = delete;
  ~TaskSet() { CancelAll(); }

  // Runs the task to its first wait before returning.
  void Start(Task<void> task) {
    auto entry = entries_.emplace(entries_.end());
    entry->owner = this;
    entry->self = entry;
    entry->task = std::move(task);
    entry->task.Start(&TaskSet::OnDone, &*entry);
  }

  void CancelAll() {
    // One by one, out of the list first: a frame's destructors may look at the set.
    while (!entries_.empty()) {
      std::list<Entry> dying;
      dying.splice(dying.begin(), entries_, entries_.begin());
    }
  }

  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }

 private:
  struct Entry {
    TaskSet* owner = nullptr;
    std::list<Entry>::iterator self;
    Task<void> task;
  };
  static void OnDone(void* argument) {
    auto* entry = static_cast<Entry*>(argument);
    entry->owner->entries_.erase(entry->self);
  }
  std::list<Entry> entries_;
};

}  // namespace mesh::base

// Timers of one loop: a heap of due times; cancelled ones stay in it until due or until they are
// half.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace mesh::base {

class TimerHeap {
 public:
  uint64_t Add(int64_t due_ns, std::function<void()> fn) {
    const uint64_t id = ++last_id_;
    live_.emplace(id, std::move(fn));
    heap_.push_back({due_ns, id});
    std::push_heap(heap_.begin(), heap_.end());
    return id;
  }
  void Cancel(uint64_t id) {
    if (live_.erase(id) == 0) return;
    if (heap_.size() > 64 && heap_.size() > 2 * live_.size()) Compact();
  }
  // The earliest due time, or -1 without timers.
  int64_t NextDue() {
    while (!heap_.empty() && !live_.contains(heap_.front().id)) Pop();
    return heap_.empty() ? -1 : heap_.front().due_ns;
  }
  // Takes one timer that is due at `now_ns`; null when there is none.
  std::function<void()> TakeDue(int64_t now_ns) {
    while (!heap_.empty() && heap_.front().due_ns <= now_ns) {
      const uint64_t id = heap_.front().id;
      Pop();
      if (auto it = live_.find(id); it != live_.end()) {
        std::function<void()> fn = std::move(it->second);
        live_.erase(it);
        return fn;
      }
    }
    return nullptr;
  }

 private:
  struct Entry {
    int64_t due_ns;
    uint64_t id;
    bool operator<(const Entry& o) const {  // earliest on top, then in order of making
      return due_ns != o.due_ns ? due_ns > o.due_ns : id > o.id;
    }
  };
  void Pop() {
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
  }
  void Compact() {
    std::erase_if(heap_, [this](const Entry& e) { return !live_.contains(e.id); });
    std::make_heap(heap_.begin(), heap_.end());
  }
  std::vector<Entry> heap_;
  absl::flat_hash_map<uint64_t, std::function<void()>> live_;
  uint64_t last_id_ = 0;
};

}  // namespace mesh::base

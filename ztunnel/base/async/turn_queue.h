// Objects that want to run once, later in this turn: the loop's queues of Deferred and Flusher.
//
// Add and Cancel cost the same however many there are. An object is in one loop's queue at a time;
// one that dies must have been cancelled.
#pragma once

#include <utility>
#include <vector>

#include "ztunnel/base/async/event_loop.h"

namespace mesh::base {

template <typename T>
class TurnQueue {
 public:
  bool empty() const { return waiting_.empty(); }

  // No effect on one that waits already, also for its turn in the present round.
  void Add(T& item) {
    QueuePlace& place = item;
    if (place.round_ != 0) return;
    place.round_ = round_;
    place.index_ = waiting_.size();
    waiting_.push_back(&item);
  }

  void Cancel(T& item) {
    QueuePlace& place = item;
    if (place.round_ == 0) return;
    (place.round_ == round_ ? waiting_ : running_)[place.index_] = nullptr;
    place.round_ = 0;
  }

  // Runs what waits now; what is added meanwhile waits for the next round.
  template <typename Fn>
  void RunRound(Fn run) {
    running_.swap(waiting_);
    ++round_;
    for (size_t i = 0; i < running_.size(); ++i) {
      T* item = std::exchange(running_[i], nullptr);
      if (item == nullptr) continue;
      static_cast<QueuePlace*>(item)->round_ = 0;
      run(*item);
    }
    running_.clear();
  }

 private:
  std::vector<T*> waiting_;
  std::vector<T*> running_;
  uint64_t round_ = 1;
};

}  // namespace mesh::base

// How many received bytes a worker holds for applications that do not take them, over all
// connections of all pods, and who is to wait when that is too many.
//
// A holder says how much it holds (Hold). While the worker is over its limit, a holder that has its
// share of it or more is not read from. So what is held exceeds the limit by what one turn reads at
// most, and honest holders go on beside greedy ones. Owner: SharedBuffers. Thread: the worker's;
// the cell that is mirrored may be read by any.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace mesh::net {

class Budget {
 public:
  // One holder's part; given back when it is destroyed.
  class Hold {
   public:
    Hold() = default;
    ~Hold() { Set(0); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

    void Join(Budget& budget) { budget_ = &budget; }
    void Set(size_t bytes) {
      if (budget_ != nullptr) budget_->Change(bytes_, bytes);
      bytes_ = bytes;
    }
    // Whether this holder must take no more for now.
    bool Full() const {
      return budget_ != nullptr && budget_->Over() && bytes_ >= budget_->Share();
    }

   private:
    Budget* budget_ = nullptr;  // null: nobody counts
    size_t bytes_ = 0;
  };

  void SetLimit(size_t bytes) { limit_ = bytes; }
  // Where `held` and the number of pauses are shown; outlives the budget.
  void Mirror(std::atomic<uint64_t>& held, std::atomic<uint64_t>& pauses) {
    held_cell_ = &held;
    pauses_cell_ = &pauses;
  }

  bool Over() const { return held_ > limit_; }
  size_t held() const { return held_; }
  size_t holders() const { return holders_; }
  void CountPause() {
    if (pauses_cell_ != nullptr) pauses_cell_->fetch_add(1, std::memory_order_relaxed);
  }

 private:
  size_t Share() const { return limit_ / (holders_ == 0 ? 1 : holders_); }
  void Change(size_t from, size_t to) {
    if (from == to) return;
    held_ = held_ - from + to;
    holders_ = holders_ - (from > 0 ? 1 : 0) + (to > 0 ? 1 : 0);
    if (held_cell_ != nullptr) held_cell_->store(held_, std::memory_order_relaxed);
  }

  size_t limit_ = SIZE_MAX;
  size_t held_ = 0;
  size_t holders_ = 0;
  std::atomic<uint64_t>* held_cell_ = nullptr;
  std::atomic<uint64_t>* pauses_cell_ = nullptr;
};

}  // namespace mesh::net

// When to push: the first change at once, later ones when it has been quiet for `quiet`, or when
// the first of them has waited for `limit`.
#pragma once

#include <absl/time/time.h>

#include <algorithm>

namespace mesh::controller {

class Debouncer {
 public:
  explicit Debouncer(absl::Duration quiet = absl::Milliseconds(100),
                     absl::Duration limit = absl::Seconds(10))
      : quiet_(quiet), limit_(limit) {}

  void OnChange(absl::Time now) {
    if (!pending_) {
      pending_ = true;
      first_ = now;
      due_ = now - last_push_ >= quiet_ ? now : now + quiet_;
    } else if (due_ > now) {
      due_ = std::min(now + quiet_, first_ + limit_);
    }
  }

  // InfiniteFuture when there is nothing to push.
  absl::Time due() const { return pending_ ? due_ : absl::InfiniteFuture(); }

  // True once per push that is due.
  bool TakeDue(absl::Time now) {
    if (!pending_ || now < due_) return false;
    pending_ = false;
    last_push_ = now;
    return true;
  }

 private:
  absl::Duration quiet_;
  absl::Duration limit_;
  bool pending_ = false;
  absl::Time first_;
  absl::Time due_;
  absl::Time last_push_ = absl::InfinitePast();
};

}  // namespace mesh::controller

// What the server's thread has to tell main, until main takes it: the last answer for each pod and
// how many ztunnels are connected. Nothing is lost however long main takes, and it is bounded by
// the pods of the node.
//
// Owner: the node. Any thread.
#pragma once

#include <absl/status/status.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace mesh::node::zds {

class News {
 public:
  struct Items {
    std::map<std::string, absl::Status> answers;  // by uid
    std::optional<int> connected;
  };

  void Answered(const std::string& uid, const absl::Status& status) {
    std::lock_guard lock(mutex_);
    items_.answers[uid] = status;
  }
  void Connected(int n) {
    std::lock_guard lock(mutex_);
    items_.connected = n;
  }
  Items Take() {
    std::lock_guard lock(mutex_);
    return std::exchange(items_, {});
  }

 private:
  std::mutex mutex_;
  Items items_;
};

}  // namespace mesh::node::zds

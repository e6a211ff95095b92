// Work for the controller's one thread from all others: gRPC's and the HTTP server's end here.
//
// Thread-safe: Post, Call. Owner thread: Drain. Bounded by who posts: a stream has at most one
// request, one write and one close waiting; a node has 32 requests for certificates at most; the
// HTTP server has a fixed number of threads.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "ztunnel/base/unique_fd.h"

namespace mesh::controller {

class CallQueue {
 public:
  using Task = std::function<void()>;
  CallQueue();

  int fd() const { return event_.get(); }  // readable when there is work
  void Post(Task task);
  void Drain();

  // Runs `make` on the owner's thread and waits for what it returns; Unavailable when that takes
  // longer than `patience`.
  absl::StatusOr<std::string> Call(std::function<std::string()> make, absl::Duration patience);

 private:
  UniqueFd event_;
  std::mutex mutex_;
  std::vector<Task> tasks_;
};

}  // namespace mesh::controller

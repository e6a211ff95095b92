// The runtime's child processes: who is told when one ends.
#pragma once

#include <sys/wait.h>

#include <functional>
#include <map>
#include <utility>

namespace mesh::local {

// Thread: the one that waits for children; nobody else may wait for one that is watched.
class Children {
 public:
  using OnExit = std::function<void(int code)>;  // exit status, or 128 + signal

  void Watch(int pid, OnExit on_exit) { watched_[pid] = std::move(on_exit); }
  void Forget(int pid) {
    if (const auto it = watched_.find(pid); it != watched_.end()) it->second = [](int) {};
  }
  // Collects all that ended. Callbacks may start and watch others.
  void Reap() {
    int status = 0;
    for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      auto node = watched_.extract(pid);
      if (node.empty()) continue;
      node.mapped()(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
  }

 private:
  std::map<int, OnExit> watched_;
};

}  // namespace mesh::local

// A network namespace: held by a descriptor, entered for the length of one synchronous call.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <utility>

#include "ztunnel/base/unique_fd.h"

namespace mesh {

class Netns {
 public:
  static absl::StatusOr<Netns> Open(const std::string& path);
  static absl::StatusOr<Netns> Current();  // of the calling thread
  explicit Netns(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  // Identity of the namespace: inode and, for the kernel's programs, cookie (SO_NETNS_COOKIE).
  absl::StatusOr<uint64_t> Inode() const;
  absl::StatusOr<uint64_t> Cookie() const;
  absl::StatusOr<Netns> Duplicate() const;

  // Runs `fn` with the calling thread inside the namespace and comes back. Sockets that `fn` makes
  // belong to the namespace for ever. Never across a co_await: the thread serves others there.
  template <typename Fn>
  auto Run(Fn&& fn) const -> decltype(fn()) {
    Entered entered(fd_.get());
    if (!entered.status().ok()) return decltype(fn())(entered.status());
    return fn();
  }

 private:
  class Entered {
   public:
    explicit Entered(int fd);
    ~Entered();
    const absl::Status& status() const { return status_; }

   private:
    UniqueFd previous_;
    absl::Status status_;
  };

  UniqueFd fd_;
};

}  // namespace mesh

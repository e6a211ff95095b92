#include "ztunnel/base/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace mesh {

absl::StatusOr<Netns> Netns::Open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Errno(errno, "open netns {}", path);
  return Netns(std::move(fd));
}

absl::StatusOr<Netns> Netns::Current() { return Open("/proc/thread-self/ns/net"); }

absl::StatusOr<uint64_t> Netns::Inode() const {
  struct stat st;
  if (::fstat(fd_.get(), &st) != 0) return Errno(errno, "stat netns");
  return static_cast<uint64_t>(st.st_ino);
}

absl::StatusOr<uint64_t> Netns::Cookie() const {
  return Run([]() -> absl::StatusOr<uint64_t> {
    UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) return Errno(errno, "socket for netns cookie");
    uint64_t cookie = 0;
    socklen_t length = sizeof(cookie);
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) != 0) {
      return Errno(errno, "SO_NETNS_COOKIE");
    }
    return cookie;
  });
}

absl::StatusOr<Netns> Netns::Duplicate() const {
  UniqueFd fd(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
  if (!fd) return Errno(errno, "dup netns");
  return Netns(std::move(fd));
}

Netns::Entered::Entered(int fd) {
  previous_.Reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!previous_) {
    status_ = Errno(errno, "open the thread's own netns");
    return;
  }
  if (::setns(fd, CLONE_NEWNET) != 0) {
    status_ = Errno(errno, "setns");
    previous_.Reset();
  }
}

Netns::Entered::~Entered() {
  if (!previous_) return;
  // A thread stuck in a pod's namespace would make every later socket belong to that pod.
  if (::setns(previous_.get(), CLONE_NEWNET) != 0) Fatal("cannot leave a pod's netns", errno);
}

}  // namespace mesh

#include "agent/node/zds/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::node::zds {
namespace {

bool WaitFor(int fd, short events, absl::Duration limit) {
  const absl::Time end = absl::Now() + limit;
  for (;;) {
    pollfd poll_fd = {.fd = fd, .events = events, .revents = 0};
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    const int n = ::poll(&poll_fd, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
}

}  // namespace

absl::Status Connection::Broken(absl::Status status) {
  alive_ = false;
  return status;
}

absl::Status Connection::Receive(std::string& packet) {
  char buffer[kMaxPacketBytes + 1];
  const ssize_t n = ::recv(fd_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
  if (n < 0) return Broken(Errno(errno, "read from ztunnel"));
  if (n == 0) return Broken(Unavailable("ztunnel closed the connection"));
  if (static_cast<size_t>(n) > kMaxPacketBytes) {
    return Broken(Invalid("a packet of more than {} bytes", kMaxPacketBytes));
  }
  packet.assign(buffer, static_cast<size_t>(n));
  return absl::OkStatus();
}

absl::Status Connection::ReadHello() {
  std::string packet;
  RETURN_IF_ERROR(Receive(packet));
  const absl::Status hello = CheckHello(packet);
  return hello.ok() ? hello : Broken(hello);
}

absl::Status Connection::Ask(const std::string& packet, int fd) {
  // Something that came before the question is no answer to it.
  if (pollfd early = {.fd = fd_.get(), .events = POLLIN, .revents = 0}; ::poll(&early, 1, 0) > 0) {
    OnUnasked();
    return Unavailable("the connection to ztunnel ended");
  }
  iovec data = {.iov_base = const_cast<char*>(packet.data()), .iov_len = packet.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  }
  if (!WaitFor(fd_.get(), POLLOUT, deadline_)) {
    return DeadlineExceeded("ztunnel did not take a packet within {}",
                            absl::FormatDuration(deadline_));
  }
  if (::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    return Broken(Errno(errno, "write to ztunnel"));
  }
  if (!WaitFor(fd_.get(), POLLIN, deadline_)) {
    return DeadlineExceeded("ztunnel did not answer within {}", absl::FormatDuration(deadline_));
  }
  std::string answer;
  RETURN_IF_ERROR(Receive(answer));
  const absl::Status ack = CheckAck(answer);
  return ack.ok() || absl::IsAborted(ack) ? ack : Broken(ack);
}

void Connection::OnUnasked() {
  std::string packet;
  if (const absl::Status status = Receive(packet); !status.ok()) {
    if (!absl::IsUnavailable(status)) Logger("zds")->warn("connection lost: {}", Describe(status));
  } else {
    Logger("zds")->warn("ztunnel spoke without having been asked; connection closed");
  }
  alive_ = false;
}

}  // namespace mesh::node::zds

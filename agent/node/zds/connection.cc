#include "agent/node/zds/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::node::zds {
namespace {

// True when sent; false when the socket takes nothing for now.
absl::StatusOr<bool> Send(int socket, const std::string& packet, int fd) {
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
  if (::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
  if (errno == EAGAIN || errno == ENOBUFS) return false;
  return Errno(errno, "write to ztunnel");
}

}  // namespace

Connection::Connection(UniqueFd fd, absl::Duration deadline)
    : fd_(std::move(fd)), deadline_(deadline) {}

Connection::~Connection() { Break(Unavailable("the connection to ztunnel ended")); }

short Connection::events() const { return static_cast<short>(POLLIN | (blocked_ ? POLLOUT : 0)); }

void Connection::Break(const absl::Status& why) {
  alive_ = false;
  asked_ = blocked_ = false;
  answer_by_ = absl::InfiniteFuture();
  for (const Request& request : std::exchange(queue_, {})) {
    request.done(Unavailable("{}", MessageOf(why)));
  }
}

absl::Status Connection::Receive(std::string& packet) {
  char buffer[kMaxPacketBytes + 1];
  const ssize_t n = ::recv(fd_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
  if (n < 0) return Errno(errno, "read from ztunnel");
  if (n == 0) return Unavailable("ztunnel closed the connection");
  if (static_cast<size_t>(n) > kMaxPacketBytes) {
    return Invalid("a packet of more than {} bytes", kMaxPacketBytes);
  }
  packet.assign(buffer, static_cast<size_t>(n));
  return absl::OkStatus();
}

absl::Status Connection::ReadHello() {
  std::string packet;
  absl::Status hello = Receive(packet);
  if (hello.ok()) hello = CheckHello(packet);
  if (!hello.ok()) Break(hello);
  return hello;
}

void Connection::Ask(Request request) {
  if (!alive_ || queue_.size() >= kMaxQueued) {
    const absl::Status why = Unavailable("the connection to ztunnel ended");
    request.done(why);
    if (alive_) Logger("zds")->warn("ztunnel leaves {} requests waiting; dropped", queue_.size());
    return Break(why);
  }
  queue_.push_back(std::move(request));
  SendNext();
}

void Connection::SendNext() {
  if (!alive_ || asked_ || queue_.empty()) return;
  const Request& next = queue_.front();
  const auto sent = Send(fd_.get(), next.packet, next.netns == nullptr ? -1 : next.netns->fd());
  if (!sent.ok()) return Break(sent.status());
  // Both for the answer and for the room to ask.
  if (answer_by_ == absl::InfiniteFuture()) answer_by_ = absl::Now() + deadline_;
  blocked_ = !*sent;
  asked_ = *sent;
}

void Connection::Answer(const absl::Status& status) {
  const Request request = std::move(queue_.front());
  queue_.pop_front();
  asked_ = false;
  answer_by_ = absl::InfiniteFuture();
  request.done(status);
}

void Connection::OnReady() {
  if (blocked_) SendNext();
  pollfd readable = {.fd = fd_.get(), .events = POLLIN, .revents = 0};
  if (!alive_ || ::poll(&readable, 1, 0) <= 0) return;
  std::string packet;
  absl::Status status = Receive(packet);
  if (status.ok() && !asked_) status = Invalid("ztunnel spoke without having been asked");
  if (status.ok()) {
    status = CheckAck(packet);
    if (status.ok() || absl::IsAborted(status)) {
      Answer(status);
      return SendNext();
    }
  }
  if (!absl::IsUnavailable(status)) Logger("zds")->warn("connection lost: {}", Describe(status));
  Break(status);
}

absl::Time Connection::Tick(absl::Time now) {
  if (now >= answer_by_) {
    Logger("zds")->warn("ztunnel did not answer within {}; dropped",
                        absl::FormatDuration(deadline_));
    Break(Unavailable("ztunnel did not answer within {}", absl::FormatDuration(deadline_)));
  }
  absl::Time next = answer_by_;
  for (Request& request : queue_) {
    if (request.patience > now) {
      next = std::min(next, request.patience);
      continue;
    }
    request.patience = absl::InfiniteFuture();
    std::exchange(request.done,
                  [](const absl::Status&) {})(Unavailable("ztunnel has not come to it yet"));
  }
  return next;
}

}  // namespace mesh::node::zds

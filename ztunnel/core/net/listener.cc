#include "ztunnel/core/net/listener.h"

#include <sys/socket.h>

#include <cerrno>

namespace mesh::net {

constexpr int kMaxBacklog = 4096;
constexpr absl::Duration kWatchAgain = absl::Milliseconds(50);
constexpr int kAcceptsPerTurn = 64;  // a flood of new connections lets the others breathe

Listener::Listener(base::EventLoop& loop, UniqueFd fd, std::function<void(Socket)> on_accept)
    : loop_(loop), fd_(std::move(fd)), on_accept_(std::move(on_accept)) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&storage), &length) == 0) {
    if (auto address = SocketAddress::FromSockaddr(storage)) port_ = address->port;
  }
  Watch();
}

// Connections wait in the backlog until there is a watch for it.
void Listener::Watch() {
  if (loop_.Add(fd_.get(), EPOLLIN, *this).ok()) return;
  retry_ = loop_.After(kWatchAgain, [this] {
    retry_ = 0;
    Watch();
  });
}

Listener::~Listener() {
  if (retry_ != 0) loop_.CancelTimer(retry_);
  loop_.Remove(fd_.get(), *this);
}

Listener::Accepted Listener::AcceptOne() {
  for (;;) {
    UniqueFd accepted(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (accepted) {
      on_accept_(Socket(std::move(accepted)));
      return Accepted::kOne;
    }
    if (errno == ECONNABORTED || errno == EINTR) continue;
    return errno == EAGAIN ? Accepted::kNone : Accepted::kNoRoom;
  }
}

void Listener::OnEvents(uint32_t) {
  absl::Duration again = absl::ZeroDuration();
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    const Accepted accepted = AcceptOne();
    if (accepted == Accepted::kNone) return;
    if (accepted == Accepted::kOne) continue;
    again = absl::Milliseconds(50);
    break;
  }
  if (retry_ != 0) return;
  retry_ = loop_.After(again, [this] {
    retry_ = 0;
    OnEvents(EPOLLIN);
  });
}

void Listener::AcceptAll() {
  // Those that come meanwhile are taken too, within reason.
  for (int i = 0; i < kMaxBacklog && AcceptOne() == Accepted::kOne; ++i) {
  }
}

}  // namespace mesh::net

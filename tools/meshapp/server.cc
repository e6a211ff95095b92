#include "tools/meshapp/server.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

#include "ztunnel/base/status.h"

namespace mesh::meshapp {
namespace {

absl::StatusOr<UniqueFd> Bind(uint16_t port) {
  // A kernel without IPv6 still has IPv4.
  for (const int family : {AF_INET6, AF_INET}) {
    UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) continue;
    const int on = 1, off = 0;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    sockaddr_storage address = {};
    const SocketAddress any{family == AF_INET6 ? IpAddress() : IpAddress::V4(0), port};
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), any.ToSockaddr(address, family)) !=
        0) {
      if (family == AF_INET6 && errno != EADDRINUSE) continue;
      return Errno(errno, "bind port {}", port);
    }
    if (::listen(fd.get(), 4096) != 0) return Errno(errno, "listen on port {}", port);
    return fd;
  }
  return Errno(errno, "socket for port {}", port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Listen(Loop& loop, uint16_t port, Factory factory) {
  ASSIGN_OR_RETURN(UniqueFd fd, Bind(port));
  sockaddr_storage address = {};
  socklen_t length = sizeof(address);
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length);
  const auto bound = SocketAddress::FromSockaddr(address);
  return std::unique_ptr<Server>(
      new Server(loop, std::move(fd), bound ? bound->port : port, std::move(factory)));
}

Server::Server(Loop& loop, UniqueFd fd, uint16_t port, Factory factory)
    : loop_(loop), fd_(std::move(fd)), port_(port), factory_(std::move(factory)) {
  loop_.Add(fd_.get(), EPOLLIN, *this);
}

Server::~Server() {
  if (fd_) loop_.Remove(fd_.get());
}

void Server::OnEvents(uint32_t) {
  for (int i = 0; i < 64 && fd_; ++i) {
    if (connections_.size() >= kMaxConnections) {
      resting_ = true;
      loop_.Modify(fd_.get(), 0, *this);
      return;
    }
    sockaddr_storage address = {};
    socklen_t length = sizeof(address);
    UniqueFd fd(::accept4(fd_.get(), reinterpret_cast<sockaddr*>(&address), &length,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    auto connection = std::make_unique<Connection>(
        loop_, std::move(fd), SocketAddress::FromSockaddr(address).value_or(SocketAddress{}),
        [this](Connection* closed) { OnClosed(closed); });
    Connection& ref = *connection;
    connections_.emplace(&ref, std::move(connection));
    ref.Start(factory_(ref));
  }
}

void Server::OnClosed(Connection* connection) {
  connections_.erase(connection);
  if (resting_ && fd_) {
    resting_ = false;
    loop_.Modify(fd_.get(), EPOLLIN, *this);
  }
  if (connections_.empty() && on_empty_) std::exchange(on_empty_, nullptr)();
}

void Server::Drain(std::function<void()> on_empty) {
  if (fd_) {
    loop_.Remove(fd_.get());
    fd_.Reset();
  }
  if (connections_.empty()) return on_empty();
  on_empty_ = std::move(on_empty);
  for (auto& [ptr, connection] : connections_) connection->protocol()->Drain();
}

}  // namespace mesh::meshapp

#include "ztunnel/dns/sockets.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "ztunnel/base/status.h"

namespace mesh::dns {
namespace {

constexpr int kOriginalDestination = 80;  // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
constexpr int kSolIp = 0;
constexpr int kSolIpv6 = 41;

absl::StatusOr<UniqueFd> Open(const Netns& netns, int family, int type) {
  return netns.Run([&]() -> absl::StatusOr<UniqueFd> {
    UniqueFd fd(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return Errno(errno, "socket family={}", family);
    return fd;
  });
}

}  // namespace

absl::StatusOr<UniqueFd> BindLoopback(const Netns& netns, int type, const SocketAddress& address) {
  ASSIGN_OR_RETURN(UniqueFd fd, Open(netns, address.family(), type));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  if (type == SOCK_STREAM) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (address.family() == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  }
  sockaddr_storage storage;
  const socklen_t length = address.ToSockaddr(storage, address.family());
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0) {
    return Errno(errno, "bind {}", address.ToString());
  }
  if (type == SOCK_STREAM && ::listen(fd.get(), 128) != 0) {
    return Errno(errno, "listen {}", address.ToString());
  }
  return fd;
}

absl::StatusOr<UniqueFd> ConnectUdp(const Netns& netns, const SocketAddress& server) {
  ASSIGN_OR_RETURN(UniqueFd fd, Open(netns, server.family(), SOCK_DGRAM));
  sockaddr_storage storage;
  const socklen_t length = server.ToSockaddr(storage, server.family());
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0) {
    return Errno(errno, "connect {}", server.ToString());
  }
  return fd;
}

std::optional<SocketAddress> AskedServer(int listener, const SocketAddress& client) {
  sockaddr_storage storage{};
  socklen_t length = client.ToSockaddr(storage, client.family());
  const int level = client.family() == AF_INET ? kSolIp : kSolIpv6;
  if (::getsockopt(listener, level, kOriginalDestination, &storage, &length) != 0)
    return std::nullopt;
  auto server = SocketAddress::FromSockaddr(storage);
  // A datagram sent to the listener itself has no other destination.
  if (!server || server->ip.IsLoopback() || server->ip.IsUnspecified()) return std::nullopt;
  return server;
}

uint16_t LocalPort(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return 0;
  const auto address = SocketAddress::FromSockaddr(storage);
  return address ? address->port : 0;
}

}  // namespace mesh::dns

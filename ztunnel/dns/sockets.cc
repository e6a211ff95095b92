#include "ztunnel/dns/sockets.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "bpf/include/mesh_abi.h"
#include "ztunnel/base/status.h"

namespace mesh::dns {
namespace {

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
  // Without it "no route to the resolver" is no error to a datagram socket, and the question would
  // wait for its deadline.
  const int on = 1;
  if (server.family() == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
  } else {
    ::setsockopt(fd.get(), IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
  }
  sockaddr_storage storage;
  const socklen_t length = server.ToSockaddr(storage, server.family());
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0) {
    return Errno(errno, "connect {}", server.ToString());
  }
  return fd;
}

std::optional<SocketAddress> AskedServer(int listener, const SocketAddress& client) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  if (::getsockopt(listener, MESH_SOL_DNS, client.port, &storage, &length) != 0)
    return std::nullopt;
  auto server = SocketAddress::FromSockaddr(storage);
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

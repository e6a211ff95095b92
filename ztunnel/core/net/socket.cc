#include "ztunnel/core/net/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "ztunnel/base/status.h"

namespace mesh::net {
namespace {

constexpr int kOriginalDst = 80;  // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST

template <typename T>
void Set(int fd, int level, int option, const T& value) {
  setsockopt(fd, level, option, &value, sizeof value);
}

IoResult Failed(int error) {
  if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR) return {IoResult::Kind::kBlocked};
  return {IoResult::Kind::kError, 0, error};
}

std::optional<SocketAddress> Ask(int fd, int level) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getsockopt(fd, level, kOriginalDst, &storage, &length) != 0) return std::nullopt;
  std::optional<SocketAddress> address = SocketAddress::FromSockaddr(storage);
  if (address && address->port == 0) return std::nullopt;
  return address;
}

}  // namespace

Socket::Socket(UniqueFd fd) : fd_(std::move(fd)) { Set(fd_.get(), IPPROTO_TCP, TCP_NODELAY, 1); }

void Socket::Apply(const SocketOptions& options) {
  const int fd = fd_.get();
  if (options.keepalive) {
    const int time = static_cast<int>(absl::ToInt64Seconds(options.keepalive_time));
    const int interval = static_cast<int>(absl::ToInt64Seconds(options.keepalive_interval));
    Set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    Set(fd, IPPROTO_TCP, TCP_KEEPIDLE, time);
    Set(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval);
    Set(fd, IPPROTO_TCP, TCP_KEEPCNT, options.keepalive_retries);
    if (options.user_timeout) {
      const int ms = (time + interval * options.keepalive_retries) * 1000;
      Set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ms);
    }
  }
  if (options.unsent_bytes > 0) Set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, options.unsent_bytes);
  if (!options.congestion_control.empty()) {
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, options.congestion_control.data(),
               static_cast<socklen_t>(options.congestion_control.size()));
  }
}

absl::Status CheckCongestionControl(const std::string& name) {
  if (name.empty()) return absl::OkStatus();
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return Errno(errno, "socket");
  if (setsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(),
                 static_cast<socklen_t>(name.size())) != 0) {
    return Errno(errno, "congestion control {} (see net.ipv4.tcp_available_congestion_control)",
                 name);
  }
  return absl::OkStatus();
}

IoResult Socket::Read(std::span<std::byte> into) {
  const ssize_t n = recv(fd_.get(), into.data(), into.size(), 0);
  if (n > 0) return {IoResult::Kind::kDone, static_cast<size_t>(n)};
  if (n == 0) return {IoResult::Kind::kEnd};
  return Failed(errno);
}

IoResult Socket::Write(std::span<const std::byte> bytes) {
  const ssize_t n = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (n >= 0) return {IoResult::Kind::kDone, static_cast<size_t>(n)};
  return Failed(errno);
}

void Socket::ShutdownWrite() { shutdown(fd_.get(), SHUT_WR); }

void Socket::Reset() {
  if (!fd_) return;
  Set(fd_.get(), SOL_SOCKET, SO_LINGER, linger{1, 0});
  fd_.Reset();
}

int Socket::TakeError() const {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

std::optional<SocketAddress> Socket::LocalAddress() const {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&storage), &length) != 0)
    return std::nullopt;
  return SocketAddress::FromSockaddr(storage);
}

std::optional<SocketAddress> Socket::PeerAddress() const {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&storage), &length) != 0)
    return std::nullopt;
  return SocketAddress::FromSockaddr(storage);
}

std::optional<SocketAddress> Socket::OriginalDestination() const {
  const std::optional<SocketAddress> local = LocalAddress();
  const bool v4 = local && local->ip.IsV4();
  if (auto address = Ask(fd_.get(), v4 ? SOL_IP : SOL_IPV6)) return address;
  return Ask(fd_.get(), v4 ? SOL_IPV6 : SOL_IP);
}

}  // namespace mesh::net

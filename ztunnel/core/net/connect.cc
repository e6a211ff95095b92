#include "ztunnel/core/net/connect.h"

#include <absl/random/random.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "ztunnel/base/async/event.h"
#include "ztunnel/base/status.h"

#ifndef IPV6_TRANSPARENT
#define IPV6_TRANSPARENT 75
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

namespace mesh::net {
namespace {

constexpr int kBacklog = 4096;
// Hosts take ports for connections from 32768 to 60999 unless told otherwise, the even ones first.
constexpr uint16_t kFirstOddPort = 32'769;
constexpr uint16_t kOddPorts = 14'116;
constexpr int kOddPortTries = 3;

// Waits for the first readiness of a descriptor that nobody watches yet.
class FirstEvent final : public base::EventHandler {
 public:
  FirstEvent(base::EventLoop& loop, int fd, uint32_t events)
      : loop_(loop), fd_(fd), event_(loop), watched_(loop.Add(fd, events, *this).ok()) {}
  ~FirstEvent() override { loop_.Remove(fd_, *this); }
  void OnEvents(uint32_t) override { event_.Set(); }
  base::Event& event() { return event_; }
  bool watched() const { return watched_; }

 private:
  base::EventLoop& loop_;
  int fd_;
  base::Event event_;
  const bool watched_;
};

struct Started {
  explicit Started(int e) : error(e) {}
  // What Netns::Run makes of a namespace that cannot be entered (it went with its pod).
  explicit Started(const absl::Status&) : error(ENETDOWN) {}
  explicit Started(UniqueFd f) : fd(std::move(f)) {}
  UniqueFd fd;
  int error = 0;
};

bool Enable(int fd, int level, int option) {
  const int on = 1;
  return setsockopt(fd, level, option, &on, sizeof on) == 0;
}

// Port 0: any.
int BindSource(int fd, const SocketAddress& source, int family) {
  const bool v4 = family == AF_INET;
  if (!Enable(fd, v4 ? SOL_IP : SOL_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT)) return errno;
  Enable(fd, v4 ? SOL_IP : SOL_IPV6, v4 ? IP_FREEBIND : IPV6_FREEBIND);
  if (source.port == 0) {
    // Chosen at connect, by the whole 4-tuple: else 28,000 connections would be the end.
    Enable(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT);
  } else {
    Enable(fd, SOL_SOCKET, SO_REUSEADDR);  // shared with connections to elsewhere, and old ones
  }
  sockaddr_storage storage{};
  const socklen_t length = source.ToSockaddr(storage, family);
  return bind(fd, reinterpret_cast<sockaddr*>(&storage), length) == 0 ? 0 : errno;
}

Started StartFrom(const ConnectTarget& target, uint16_t source_port) {
  const int family = target.address.family();
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return Started(errno);
  if (target.mark != 0 &&
      setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &target.mark, sizeof target.mark) != 0) {
    return Started(errno);
  }
  if (target.source) {
    if (const int error = BindSource(fd.get(), {*target.source, source_port}, family); error != 0)
      return Started(error);
  }
  sockaddr_storage storage{};
  const socklen_t length = target.address.ToSockaddr(storage, family);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0 &&
      errno != EINPROGRESS) {
    return Started(errno);
  }
  return Started(std::move(fd));
}

// In another host's name an odd port is tried first. What that host itself has open to the same
// application in plain text ends in this namespace too, with the roles of the two ends swapped: on
// the port of such a connection our SYN would meet it, not the application, and be lost.
Started StartConnect(const ConnectTarget& target) {
  thread_local absl::InsecureBitGen random;
  for (int i = 0; target.source && i < kOddPortTries; ++i) {
    const uint16_t port = kFirstOddPort + 2 * absl::Uniform<uint16_t>(random, 0, kOddPorts);
    Started started = StartFrom(target, port);
    if (started.error != EADDRINUSE && started.error != EADDRNOTAVAIL) return started;
  }
  return StartFrom(target, 0);
}

// Whether the handshake is over: on one host it nearly always is, before connect() came back.
bool Established(int fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
         info.tcpi_state == TCP_ESTABLISHED;
}

absl::StatusOr<UniqueFd> ListenOn(int family, const ListenOptions& options) {
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return Errno(errno, "socket for a listener");
  Enable(fd.get(), SOL_SOCKET, SO_REUSEADDR);
  if (options.reuse_port && !Enable(fd.get(), SOL_SOCKET, SO_REUSEPORT)) {
    return Errno(errno, "SO_REUSEPORT");
  }
  if (options.transparent) {
    Enable(fd.get(), SOL_IP, IP_TRANSPARENT);
    if (family == AF_INET6) Enable(fd.get(), SOL_IPV6, IPV6_TRANSPARENT);
  }
  if (family == AF_INET6) {
    const int off = 0;
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  SocketAddress any{family == AF_INET ? IpAddress::V4(0) : IpAddress(), options.port};
  sockaddr_storage storage{};
  const socklen_t length = any.ToSockaddr(storage, family);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0) {
    return Errno(errno, "bind {}", any.ToString());
  }
  if (listen(fd.get(), kBacklog) != 0) return Errno(errno, "listen on {}", any.ToString());
  return fd;
}

}  // namespace

base::Task<ConnectResult> Connect(base::EventLoop& loop, ConnectTarget target) {
  Started started = target.netns != nullptr
                        ? target.netns->Run([&target] { return StartConnect(target); })
                        : StartConnect(target);
  if (started.error != 0) co_return ConnectResult{Socket(), started.error};
  Socket socket(std::move(started.fd));
  if (!Established(socket.fd())) {
    FirstEvent ready(loop, socket.fd(), EPOLLOUT);
    if (!ready.watched()) co_return ConnectResult{Socket(), ENOMEM};
    const bool in_time = co_await ready.event().Wait(target.timeout);
    if (!in_time) co_return ConnectResult{Socket(), ETIMEDOUT};
  }
  if (const int error = socket.TakeError(); error != 0) co_return ConnectResult{Socket(), error};
  socket.Apply(target.options);
  co_return ConnectResult{std::move(socket), 0};
}

absl::StatusOr<UniqueFd> Listen(const Netns* netns, const ListenOptions& options) {
  const auto listen_here = [&options]() -> absl::StatusOr<UniqueFd> {
    if (!options.ipv6) return ListenOn(AF_INET, options);
    absl::StatusOr<UniqueFd> both = ListenOn(AF_INET6, options);
    // Only the absence of IPv6 is a reason for IPv4 alone; a busy port is not.
    if (!both.ok() && both.status().code() != absl::StatusCode::kAlreadyExists) {
      return ListenOn(AF_INET, options);
    }
    return both;
  };
  return netns != nullptr ? netns->Run(listen_here) : listen_here();
}

}  // namespace mesh::net

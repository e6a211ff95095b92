#include "tools/meshapp/fetch.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "ztunnel/base/status.h"

namespace mesh::meshapp {
namespace {

int MsLeft(Deadline deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::max<int64_t>(0, left.count()));
}

// Waits for readiness; false when the deadline passed.
bool Await(int fd, short events, Deadline deadline) {
  pollfd poll = {.fd = fd, .events = events, .revents = 0};
  while (true) {
    const int n = ::poll(&poll, 1, MsLeft(deadline));
    if (n > 0) return true;
    if (n == 0) return false;
    if (errno != EINTR) return false;
  }
}

absl::StatusOr<UniqueFd> ConnectTo(const addrinfo& address, Deadline deadline) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Errno(errno, "socket");
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0) return fd;
  if (errno != EINPROGRESS) return Errno(errno, "connect");
  if (!Await(fd.get(), POLLOUT, deadline)) return DeadlineExceeded("connect: time is up");
  int error = 0;
  socklen_t length = sizeof(error);
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return Errno(error, "connect");
  return fd;
}

}  // namespace

absl::StatusOr<UniqueFd> Connect(const HostPort& to, Deadline deadline) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(to.host.c_str(), to.port.c_str(), &hints, &list);
      error != 0) {
    return Unavailable("resolve {}: {}", to.host, ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  absl::Status last = Unavailable("{} has no address", to.host);
  for (const addrinfo* address = list; address != nullptr; address = address->ai_next) {
    absl::StatusOr<UniqueFd> fd = ConnectTo(*address, deadline);
    if (fd.ok()) return fd;
    last = fd.status();
  }
  return WithContext(last, fmt::format("{}:{}", to.host, to.port));
}

absl::Status SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes.remove_prefix(n);
    } else if (n < 0 && errno == EAGAIN) {
      if (!Await(fd, POLLOUT, std::chrono::steady_clock::now() + std::chrono::seconds(30))) {
        return DeadlineExceeded("send: the peer takes nothing");
      }
    } else if (errno != EINTR) {
      return Errno(errno, "send");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> ReceiveSome(int fd, char* out, size_t size, Deadline deadline) {
  while (true) {
    const ssize_t n = ::recv(fd, out, size, 0);
    if (n >= 0) return static_cast<size_t>(n);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Errno(errno, "receive");
    if (!Await(fd, POLLIN, deadline)) return DeadlineExceeded("receive: time is up");
  }
}

absl::StatusOr<FetchResponse> FetchOn(int fd, const FetchRequest& request, bool keep_alive,
                                      Deadline deadline) {
  std::string text = fmt::format("{} {} HTTP/1.1\r\n", request.method, request.path);
  if (Find(request.headers, "host").empty()) {
    const bool v6 = request.to.host.find(':') != std::string::npos;
    text += fmt::format(fmt::runtime(v6 ? "host: [{}]:{}\r\n" : "host: {}:{}\r\n"), request.to.host,
                        request.to.port);
  }
  for (const auto& [name, value] : request.headers) text += name + ": " + value + "\r\n";
  if (!request.body.empty()) text += fmt::format("content-length: {}\r\n", request.body.size());
  if (!keep_alive) text += "connection: close\r\n";
  text += "\r\n";
  RETURN_IF_ERROR(SendAll(fd, text + request.body));

  std::string in;
  FetchResponse response;
  Http1Head head;
  std::optional<Http1Body> body;
  char buffer[16384];
  while (true) {
    while (!body) {
      ASSIGN_OR_RETURN(const std::optional<size_t> length, ParseResponseHead(in, head));
      if (!length) break;
      in.erase(0, *length);
      if (head.status < 200 && head.status != 101) continue;  // 100 Continue and the like
      ASSIGN_OR_RETURN(body, Http1Body::OfResponse(head, request.method == "HEAD"));
      response.status = head.status;
      response.headers = std::move(head.headers);
    }
    if (body) {
      ASSIGN_OR_RETURN(const size_t used, body->Feed(in, &response.body));
      in.erase(0, used);
      if (response.body.size() > request.max_body_bytes) {
        return ResourceExhausted("answer is longer than {} bytes", request.max_body_bytes);
      }
      if (body->done()) return response;
    }
    ASSIGN_OR_RETURN(const size_t n, ReceiveSome(fd, buffer, sizeof(buffer), deadline));
    if (n == 0) {
      if (body && body->until_close()) return response;
      return Unavailable("connection closed {}",
                         body ? "in the middle of the answer" : "without an answer");
    }
    in.append(buffer, n);
  }
}

absl::StatusOr<FetchResponse> Fetch(const FetchRequest& request, Deadline deadline) {
  ASSIGN_OR_RETURN(const UniqueFd fd, Connect(request.to, deadline));
  return FetchOn(fd.get(), request, false, deadline);
}

absl::StatusOr<FetchRequest> ParseUrl(std::string_view url) {
  if (url.starts_with("http://")) url.remove_prefix(7);
  const size_t slash = url.find('/');
  std::string authority(url.substr(0, slash));
  const size_t colon = authority.rfind(':');
  if (colon == std::string::npos || authority.back() == ']') authority += ":80";
  const auto to = ParseHostPort(authority);
  if (!to) return Invalid("\"{}\" names no host and port", url);
  FetchRequest request;
  request.to = *to;
  if (slash != std::string_view::npos) request.path = url.substr(slash);
  return request;
}

}  // namespace mesh::meshapp

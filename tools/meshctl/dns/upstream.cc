#include "tools/meshctl/dns/upstream.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

#include "tools/meshctl/dns/stream.h"
#include "ztunnel/base/files.h"

namespace mesh::local {
namespace {

dns::Bytes AsBytes(const std::string& text) { return std::as_bytes(std::span(text)); }

// A socket that has begun to connect; invalid when there is no way.
UniqueFd Connect(const SocketAddress& server, int type) {
  UniqueFd fd(::socket(server.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return {};
  // Without it "no route to the resolver" is no error to a datagram socket.
  const int on = 1;
  const bool v6 = server.family() == AF_INET6;
  ::setsockopt(fd.get(), v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &on,
               sizeof(on));
  sockaddr_storage storage;
  const socklen_t length = server.ToSockaddr(storage, server.family());
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0 &&
      errno != EINPROGRESS)
    return {};
  return fd;
}

base::Task<std::string> AskUdp(base::EventLoop& loop, SocketAddress server, std::string message,
                               dns::Query query, absl::Time deadline) {
  UniqueFd fd = Connect(server, SOCK_DGRAM);
  if (!fd) co_return std::string();
  WaitedFd socket(loop, std::move(fd));
  if (::send(socket.fd(), message.data(), message.size(), MSG_NOSIGNAL) < 0)
    co_return std::string();
  std::string buffer(dns::kMaxTcpBytes, '\0');
  while (true) {
    socket.Arm();
    const ssize_t n = ::recv(socket.fd(), buffer.data(), buffer.size(), 0);
    if (n >= 0) {
      std::string response = buffer.substr(0, static_cast<size_t>(n));
      if (dns::Answers(AsBytes(response), AsBytes(message), query)) co_return response;
      continue;  // forged, or of another time
    }
    if (errno != EAGAIN) co_return std::string();
    const bool woken = co_await socket.UntilReady(deadline);
    if (!woken) co_return std::string();
  }
}

base::Task<std::string> AskTcp(base::EventLoop& loop, SocketAddress server, std::string message,
                               dns::Query query, absl::Time deadline) {
  UniqueFd fd = Connect(server, SOCK_STREAM);
  if (!fd) co_return std::string();
  WaitedFd socket(loop, std::move(fd));
  // An edge tells that the connection is made or refused; writing finds out which.
  const bool connected = co_await socket.UntilReady(deadline);
  if (!connected) co_return std::string();
  const bool written = co_await WriteMessage(socket, message, deadline);
  if (!written) co_return std::string();
  while (true) {
    std::string response = co_await ReadMessage(socket, deadline);
    if (response.empty() || dns::Answers(AsBytes(response), AsBytes(message), query))
      co_return response;
  }
}

// Counts one question under way, however its coroutine ends.
class InFlight {
 public:
  explicit InFlight(size_t& count) : count_(count) { ++count_; }
  ~InFlight() { --count_; }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

 private:
  size_t& count_;
};

}  // namespace

void Upstream::SetServers(const std::vector<SocketAddress>& servers) {
  const bool same = std::ranges::equal(servers, servers_, {}, {}, &Server::address);
  if (same) return;
  servers_.clear();
  for (const SocketAddress& address : servers) servers_.push_back({.address = address});
}

base::Task<std::string> Upstream::Ask(std::string message, dns::Query query, bool tcp) {
  if (in_flight_ >= kMaxInFlight) co_return std::string();
  const InFlight counted(in_flight_);
  const std::vector<Server> servers = servers_;  // the list may change meanwhile
  for (const Server& server : servers) {
    if (loop_.Now() < server.retry_at) continue;
    const absl::Time deadline = loop_.Now() + kUpstreamTimeout;
    std::string response;
    if (tcp) {
      response = co_await AskTcp(loop_, server.address, message, query, deadline);
    } else {
      response = co_await AskUdp(loop_, server.address, message, query, deadline);
    }
    if (!response.empty()) co_return response;
    for (Server& known : servers_) {
      if (known.address == server.address) known.retry_at = loop_.Now() + kUpstreamPause;
    }
  }
  co_return std::string();
}

std::vector<SocketAddress> ReadNameservers(const std::string& path) {
  std::vector<SocketAddress> servers;
  std::istringstream in(ReadFileOr(path));
  for (std::string line; std::getline(in, line) && servers.size() < 3;) {
    std::istringstream words(line);
    std::string keyword, address;
    if (!(words >> keyword >> address) || keyword != "nameserver") continue;
    if (const auto ip = IpAddress::Parse(address)) servers.push_back({*ip, 53});
  }
  return servers;
}

}  // namespace mesh::local

#include "tools/meshctl/dns/listener.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

#include "ztunnel/base/status.h"

namespace mesh::local {
namespace {

dns::Bytes AsBytes(const std::string& text) { return std::as_bytes(std::span(text)); }

absl::StatusOr<UniqueFd> Bind(int type, const SocketAddress& address) {
  UniqueFd fd(::socket(address.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return Errno(errno, "socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_storage storage;
  const socklen_t length = address.ToSockaddr(storage, address.family());
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0)
    return Errno(errno, "bind {}", address.ToString());
  if (type == SOCK_STREAM && ::listen(fd.get(), 128) != 0)
    return Errno(errno, "listen {}", address.ToString());
  return fd;
}

uint16_t LocalPort(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return 0;
  const auto address = SocketAddress::FromSockaddr(storage);
  return address ? address->port : 0;
}

}  // namespace

base::Task<std::string> AnswerTo(std::string message, bool tcp, const Zone& zone,
                                 Upstream& upstream) {
  const auto query = dns::ParseQuery(AsBytes(message));
  if (!query.ok()) co_return dns::BuildFormatError(AsBytes(message)).value_or("");
  const size_t limit = tcp ? dns::kMaxTcpBytes : query->UdpLimit();
  const bool usual = query->opcode == 0 && query->qclass == dns::kClassIn && !query->name.empty();
  if (usual) {
    const ZoneAnswer found = zone.Resolve(query->name, query->type);
    if (!found.forward) co_return dns::BuildAnswer(AsBytes(message), *query, found.answer, limit);
  }
  std::string response = co_await upstream.Ask(message, *query, tcp);
  if (!response.empty()) co_return response;
  co_return dns::BuildAnswer(AsBytes(message), *query, {.rcode = dns::Rcode::kServerFailure},
                             limit);
}

class DnsListener::Ready final : public base::EventHandler {
 public:
  Ready(DnsListener& owner, int fd, void (DnsListener::*call)())
      : owner_(owner), fd_(fd), call_(call) {}
  absl::Status Watch() { return owner_.loop_.Add(fd_, EPOLLIN, *this); }
  ~Ready() override { owner_.loop_.Remove(fd_, *this); }
  Ready(const Ready&) = delete;
  Ready& operator=(const Ready&) = delete;
  void OnEvents(uint32_t) override { (owner_.*call_)(); }

 private:
  DnsListener& owner_;
  int fd_;
  void (DnsListener::*call_)();
};

absl::StatusOr<std::unique_ptr<DnsListener>> DnsListener::Listen(base::EventLoop& loop,
                                                                 const Netns& netns,
                                                                 const SocketAddress& address,
                                                                 const Zone& zone,
                                                                 Upstream& upstream) {
  std::unique_ptr<DnsListener> out(new DnsListener(loop, zone, upstream));
  RETURN_IF_ERROR(netns.Run([&]() -> absl::Status {
    ASSIGN_OR_RETURN(out->tcp_, Bind(SOCK_STREAM, address));
    out->port_ = LocalPort(out->tcp_.get());
    ASSIGN_OR_RETURN(out->udp_, Bind(SOCK_DGRAM, {address.ip, out->port_}));
    return absl::OkStatus();
  }));
  out->on_udp_ = std::make_unique<Ready>(*out, out->udp_.get(), &DnsListener::OnDatagrams);
  out->on_tcp_ = std::make_unique<Ready>(*out, out->tcp_.get(), &DnsListener::OnConnections);
  RETURN_IF_ERROR(out->on_udp_->Watch());
  RETURN_IF_ERROR(out->on_tcp_->Watch());
  return out;
}

DnsListener::DnsListener(base::EventLoop& loop, const Zone& zone, Upstream& upstream)
    : loop_(loop), zone_(zone), upstream_(upstream) {}

DnsListener::~DnsListener() = default;

void DnsListener::OnDatagrams() {
  std::string buffer(dns::kMaxUdpBytes, '\0');
  while (true) {
    sockaddr_storage storage{};
    socklen_t length = sizeof(storage);
    const ssize_t n = ::recvfrom(udp_.get(), buffer.data(), buffer.size(), MSG_TRUNC,
                                 reinterpret_cast<sockaddr*>(&storage), &length);
    if (n < 0) {
      if (errno == EAGAIN) return;
      continue;  // an ICMP error of an answer that we sent
    }
    const auto from = SocketAddress::FromSockaddr(storage);
    if (!from || static_cast<size_t>(n) > buffer.size()) continue;  // no query is that long
    datagrams_.Start(ServeDatagram(buffer.substr(0, static_cast<size_t>(n)), *from));
  }
}

base::Task<void> DnsListener::ServeDatagram(std::string message, SocketAddress from) {
  const std::string reply = co_await AnswerTo(std::move(message), false, zone_, upstream_);
  if (reply.empty()) co_return;
  sockaddr_storage storage;
  const socklen_t length = from.ToSockaddr(storage, from.family());
  (void)::sendto(udp_.get(), reply.data(), reply.size(), MSG_NOSIGNAL,
                 reinterpret_cast<sockaddr*>(&storage), length);
}

void DnsListener::OnConnections() {
  while (true) {
    UniqueFd fd(::accept4(tcp_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno == ECONNABORTED || errno == EINTR) continue;
      return;
    }
    if (streams_.size() < kMaxTcpClients) streams_.Start(ServeStream(std::move(fd)));
  }
}

base::Task<void> DnsListener::ServeStream(UniqueFd fd) {
  WaitedFd socket(loop_, std::move(fd));
  while (true) {
    std::string message = co_await ReadMessage(socket, loop_.Now() + kTcpIdle);
    if (message.empty()) co_return;
    std::string reply = co_await AnswerTo(std::move(message), true, zone_, upstream_);
    if (reply.empty()) co_return;
    const bool written = co_await WriteMessage(socket, std::move(reply), loop_.Now() + kTcpIdle);
    if (!written) co_return;
  }
}

}  // namespace mesh::local

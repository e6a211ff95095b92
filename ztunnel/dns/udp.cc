#include "ztunnel/dns/udp.h"

#include <sys/socket.h>

#include "ztunnel/dns/sockets.h"

namespace mesh::dns {
namespace {

// Datagrams read in one go, before others of the loop have their turn.
constexpr int kBurst = 64;
constexpr absl::Duration kWatchAgain = absl::Milliseconds(50);

Bytes AsBytes(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

UdpListener::UdpListener(PodServer& server, UniqueFd fd) : server_(server), fd_(std::move(fd)) {
  Watch();
}

// Questions wait in the socket until there is a watch for it.
void UdpListener::Watch() {
  if (server_.loop().Add(fd_.get(), EPOLLIN | EPOLLET, *this).ok()) return;
  more_ = server_.loop().After(kWatchAgain, [this] {
    more_ = 0;
    Watch();
  });
}

UdpListener::~UdpListener() {
  if (more_ != 0) server_.loop().CancelTimer(more_);
  server_.loop().Remove(fd_.get(), *this);
}

void UdpListener::OnEvents(uint32_t) {
  if (more_ == 0) ReadSome();
}

void UdpListener::ReadSome() {
  std::array<std::byte, kMaxUdpBytes> buffer;
  for (int i = 0; i < kBurst; ++i) {
    sockaddr_storage storage{};
    socklen_t length = sizeof(storage);
    const ssize_t n = ::recvfrom(fd_.get(), buffer.data(), buffer.size(), MSG_TRUNC,
                                 reinterpret_cast<sockaddr*>(&storage), &length);
    if (n < 0) {
      if (errno == EAGAIN) return;
      continue;  // an ICMP error of an answer that we sent
    }
    const auto from = SocketAddress::FromSockaddr(storage);
    if (!from || static_cast<size_t>(n) > buffer.size()) continue;  // no query is that long
    server_.OnDatagram(*this, *from, Bytes(buffer.data(), static_cast<size_t>(n)));
  }
  more_ = server_.loop().After(absl::ZeroDuration(), [this] {
    more_ = 0;
    ReadSome();
  });
}

void UdpListener::Send(const SocketAddress& to, Bytes message) {
  sockaddr_storage storage;
  const socklen_t length = to.ToSockaddr(storage, to.family());
  (void)::sendto(fd_.get(), message.data(), message.size(), MSG_NOSIGNAL,
                 reinterpret_cast<sockaddr*>(&storage), length);
}

UdpForward::UdpForward(PodServer& server, UdpListener& listener, const SocketAddress& client,
                       Bytes message, Verdict verdict)
    : server_(server),
      listener_(listener),
      client_(client),
      message_(reinterpret_cast<const char*>(message.data()), message.size()),
      verdict_(std::move(verdict)) {}

UdpForward::~UdpForward() {
  if (timer_ != 0) server_.loop().CancelTimer(timer_);
  if (fd_) server_.loop().Remove(fd_.get(), *this);
}

bool UdpForward::Start(const SocketAddress& upstream) {
  auto fd = ConnectUdp(server_.netns(), upstream);
  if (!fd.ok()) return false;
  if (::send(fd->get(), message_.data(), message_.size(), MSG_NOSIGNAL) < 0) return false;
  if (!server_.loop().Add(fd->get(), EPOLLIN | EPOLLET, *this).ok()) return false;
  fd_ = *std::move(fd);
  sent_ = server_.loop().Now();
  timer_ = server_.loop().After(server_.config().timeout, [this] {
    timer_ = 0;
    Fail();
  });
  return true;
}

void UdpForward::OnEvents(uint32_t) {
  std::array<std::byte, kMaxTcpBytes> buffer;
  while (true) {
    const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0) {
      if (errno != EAGAIN) Fail();  // nobody there, or no way: the application need not wait
      return;
    }
    const Bytes response(buffer.data(), static_cast<size_t>(n));
    if (!Answers(response, AsBytes(message_), verdict_.query))
      continue;  // forged, or of another time
    listener_.Send(client_, response);
    server_.metrics().ForwardAnswered(verdict_.query.type, Transport::kUdp, verdict_.workload.get(),
                                      server_.loop().Now() - sent_);
    server_.EndForward(*this);
    return;
  }
}

void UdpForward::Fail() {
  server_.metrics().ForwardFailed(verdict_.query.type, Transport::kUdp, verdict_.workload.get());
  const std::string failure = ServerFailure(AsBytes(message_), verdict_.query);
  listener_.Send(client_, AsBytes(failure));
  server_.EndForward(*this);
}

}  // namespace mesh::dns

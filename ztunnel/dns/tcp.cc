#include "ztunnel/dns/tcp.h"

#include "ztunnel/base/async/event.h"
#include "ztunnel/core/net/connect.h"

namespace mesh::dns {
namespace {

Bytes AsBytes(const std::string& text) { return std::as_bytes(std::span(text)); }

// Whole messages over a stream socket; every wait ends at a deadline.
class MessageStream final : public base::EventHandler {
 public:
  // A connection that cannot be watched is at its end.
  MessageStream(base::EventLoop& loop, net::Socket socket)
      : loop_(loop), socket_(std::move(socket)), ready_(loop) {
    if (!loop_.Add(socket_.fd(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, *this).ok())
      socket_.Close();
  }
  ~MessageStream() override { loop_.Remove(socket_.fd(), *this); }
  void OnEvents(uint32_t) override { ready_.Set(); }

  net::Socket& socket() { return socket_; }

  // Empty: the end, an error, or the deadline.
  base::Task<std::string> Read(absl::Time deadline) {
    std::string length(2, '\0');
    const bool have_length = co_await ReadExact(length, deadline);
    if (!have_length) co_return std::string();
    const size_t size =
        static_cast<size_t>(static_cast<uint8_t>(length[0]) << 8 | static_cast<uint8_t>(length[1]));
    std::string message(size, '\0');
    const bool have_message = co_await ReadExact(message, deadline);
    if (!have_message) co_return std::string();
    co_return message;
  }

  base::Task<bool> Write(std::string message, absl::Time deadline) {
    std::string framed;
    framed.push_back(static_cast<char>(message.size() >> 8));
    framed.push_back(static_cast<char>(message.size()));
    framed += message;
    size_t done = 0;
    while (done < framed.size()) {
      ready_.Clear();
      const net::IoResult result = socket_.Write(AsBytes(framed).subspan(done));
      if (result.kind == net::IoResult::Kind::kDone) {
        done += result.bytes;
        continue;
      }
      if (result.kind != net::IoResult::Kind::kBlocked) co_return false;
      const bool woken = co_await ready_.Wait(deadline - loop_.Now());
      if (!woken) co_return false;
    }
    co_return true;
  }

 private:
  base::Task<bool> ReadExact(std::string& into, absl::Time deadline) {
    size_t done = 0;
    while (done < into.size()) {
      ready_.Clear();
      const net::IoResult result =
          socket_.Read(std::as_writable_bytes(std::span(into)).subspan(done));
      if (result.kind == net::IoResult::Kind::kDone) {
        done += result.bytes;
        continue;
      }
      if (result.kind != net::IoResult::Kind::kBlocked) co_return false;
      const bool woken = co_await ready_.Wait(deadline - loop_.Now());
      if (!woken) co_return false;
    }
    co_return true;
  }

  base::EventLoop& loop_;
  net::Socket socket_;
  base::Event ready_;
};

// The upstream's answer; empty when there was none.
base::Task<std::string> Ask(PodServer& server, SocketAddress upstream, std::string message,
                            Query query) {
  const absl::Time deadline = server.loop().Now() + server.config().timeout;
  net::ConnectTarget target;
  target.netns = &server.netns();
  target.address = upstream;
  target.timeout = server.config().timeout;
  net::ConnectResult connected = co_await net::Connect(server.loop(), target);
  if (connected.error != 0) co_return std::string();
  MessageStream stream(server.loop(), std::move(connected.socket));
  const bool written = co_await stream.Write(message, deadline);
  if (!written) co_return std::string();
  while (true) {
    std::string response = co_await stream.Read(deadline);
    if (response.empty()) co_return std::string();
    if (Answers(AsBytes(response), AsBytes(message), query)) co_return response;
  }
}

}  // namespace

base::Task<void> ServeTcp(PodServer& server, net::Socket client) {
  const std::optional<SocketAddress> asked = client.OriginalDestination();
  MessageStream stream(server.loop(), std::move(client));
  while (true) {
    const absl::Duration timeout = server.config().timeout;
    std::string message = co_await stream.Read(server.loop().Now() + timeout);
    if (message.empty()) co_return;
    Verdict verdict = server.DecideNow(AsBytes(message), Transport::kTcp);
    if (verdict.drop) co_return;
    std::string reply = std::move(verdict.reply);
    if (reply.empty()) {
      const uint16_t type = verdict.query.type;
      const auto upstream = server.ServerFor(asked);
      server.metrics().Forwarded(type, Transport::kTcp, verdict.workload.get());
      const absl::Time sent = server.loop().Now();
      if (upstream) reply = co_await Ask(server, *upstream, message, verdict.query);
      if (reply.empty()) {
        server.metrics().ForwardFailed(type, Transport::kTcp, verdict.workload.get());
        reply = ServerFailure(AsBytes(message), verdict.query);
      } else {
        server.metrics().ForwardAnswered(type, Transport::kTcp, verdict.workload.get(),
                                         server.loop().Now() - sent);
      }
    }
    const bool written = co_await stream.Write(std::move(reply), server.loop().Now() + timeout);
    if (!written) co_return;
  }
}

}  // namespace mesh::dns

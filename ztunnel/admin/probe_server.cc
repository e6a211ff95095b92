#include "ztunnel/admin/probe_server.h"

#include <absl/time/time.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <string>
#include <utility>

#include "ztunnel/base/status.h"

namespace mesh::admin {
namespace {

constexpr size_t kMaxHead = 4096;
constexpr absl::Duration kPatience = absl::Seconds(5);

std::string_view NextWord(std::string_view& line) {
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

std::string TextOf(const HttpResponse& response, bool with_body) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
      response.status, response.status == 200 ? "OK" : "No", response.content_type,
      response.body.size(), with_body ? response.body : "");
}

}  // namespace

std::optional<HttpRequest> ParseProbe(std::string_view head) {
  std::string_view line = head.substr(0, head.find("\r\n"));
  HttpRequest request;
  request.method = NextWord(line);
  const std::string_view target = NextWord(line);
  if (request.method != "GET" && request.method != "HEAD") return std::nullopt;
  if (!target.starts_with('/') || !line.starts_with("HTTP/1.")) return std::nullopt;
  request.path = target.substr(0, target.find('?'));
  return request;
}

class ProbeServer::Client final : public base::EventHandler {
 public:
  Client(ProbeServer& server, net::Socket socket)
      : server_(server), socket_(std::move(socket)), timer_(server.loop_.After(kPatience, [this] {
          timer_ = 0;
          End();
        })) {}
  ~Client() override {
    if (timer_ != 0) server_.loop_.CancelTimer(timer_);
    server_.loop_.Remove(socket_.fd(), *this);
  }

  void OnEvents(uint32_t) override {
    std::array<std::byte, kMaxHead> buffer;
    for (;;) {
      const net::IoResult read = socket_.Read(buffer);
      if (read.kind == net::IoResult::Kind::kBlocked) return;
      if (read.kind != net::IoResult::Kind::kDone) return End();
      in_.append(reinterpret_cast<const char*>(buffer.data()), read.bytes);
      if (in_.find("\r\n\r\n") != std::string::npos) return Answer();
      if (in_.size() > kMaxHead) return End();
    }
  }

  bool Watch() { return server_.loop_.Add(socket_.fd(), EPOLLIN | EPOLLRDHUP, *this).ok(); }

  Clients::iterator place;

 private:
  void Answer() {
    const std::optional<HttpRequest> request = ParseProbe(in_);
    HttpResponse response{.status = 400, .body = "not a probe\n"};
    if (request) response = server_.handler_(*request);
    const std::string text = TextOf(response, !request || request->method == "GET");
    // A new socket takes so little whole.
    (void)socket_.Write(std::as_bytes(std::span(text)));
    End();
  }
  void End() { server_.clients_.erase(place); }  // this is gone

  ProbeServer& server_;
  net::Socket socket_;
  base::EventLoop::TimerId timer_;
  std::string in_;
};

ProbeServer::ProbeServer(base::EventLoop& loop, HttpHandler handler)
    : loop_(loop), handler_(std::move(handler)) {}

ProbeServer::~ProbeServer() = default;

absl::StatusOr<std::unique_ptr<ProbeServer>> ProbeServer::Start(base::EventLoop& loop,
                                                                const net::ListenOptions& options,
                                                                HttpHandler handler) {
  ASSIGN_OR_RETURN(UniqueFd fd, net::Listen(nullptr, options));
  std::unique_ptr<ProbeServer> server(new ProbeServer(loop, std::move(handler)));
  server->listener_.emplace(loop, std::move(fd), [self = server.get()](net::Socket socket) {
    self->Accept(std::move(socket));
  });
  return server;
}

void ProbeServer::Accept(net::Socket socket) {
  if (clients_.size() >= kMaxConnections) clients_.pop_front();
  clients_.push_back(std::make_unique<Client>(*this, std::move(socket)));
  clients_.back()->place = std::prev(clients_.end());
  if (!clients_.back()->Watch()) clients_.pop_back();
}

}  // namespace mesh::admin

// HTTP load: keep-alive connections in one thread, one request each at a time.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "tools/meshapp/http1.h"
#include "tools/meshapp/load.h"
#include "ztunnel/base/status.h"

namespace mesh::meshapp {
namespace {

using Clock = std::chrono::steady_clock;

struct Client {
  UniqueFd fd;
  std::string in;
  Clock::time_point sent;
};

// The length of the complete answer at the start of `in`, 0 while it is not complete. Answers of
// the sample carry Content-Length; others are parsed in full.
absl::StatusOr<size_t> CompleteAnswer(std::string_view in) {
  const size_t end = in.find("\r\n\r\n");
  if (end == std::string_view::npos) return size_t{0};
  constexpr std::string_view kLength = "\r\ncontent-length: ";
  const size_t at = in.substr(0, end).find(kLength);
  if (at != std::string_view::npos) {
    const size_t from = at + kLength.size();
    const auto length = ParseNumber(in.substr(from, in.find('\r', from) - from));
    if (!length) return Invalid("Content-Length is no number");
    return in.size() - end - 4 >= *length ? end + 4 + *length : 0;
  }
  Http1Head head;
  ASSIGN_OR_RETURN(const std::optional<size_t> head_length, ParseResponseHead(in, head));
  if (!head_length) return size_t{0};
  ASSIGN_OR_RETURN(Http1Body body, Http1Body::OfResponse(head, false));
  ASSIGN_OR_RETURN(const size_t used, body.Feed(in.substr(*head_length), nullptr));
  if (body.until_close())
    return Invalid("the server ends answers by closing; keep-alive is needed");
  return body.done() ? *head_length + used : 0;
}

class Run {
 public:
  explicit Run(const LoadOptions& options) : options_(options) {
    request_ = fmt::format("GET {} HTTP/1.1\r\nhost: {}:{}\r\n\r\n", options.path, options.to.host,
                           options.to.port);
    result_.mode = "http";
  }

  absl::StatusOr<LoadResult> Go() {
    epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
    clients_.resize(options_.connections);
    for (Client& client : clients_) RETURN_IF_ERROR(Start(client));
    const auto start = Clock::now(), end = start + options_.time;
    epoll_event events[128];
    while (Clock::now() < end) {
      const int n = ::epoll_wait(epoll_.get(), events, std::size(events), 100);
      for (int i = 0; i < n; ++i) {
        Client& client = *static_cast<Client*>(events[i].data.ptr);
        const absl::Status status = OnReadable(client);
        if (status.ok()) continue;
        ++result_.errors;
        result_.last_error = MessageOf(status);
        RETURN_IF_ERROR(Start(client));
      }
    }
    result_.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return std::move(result_);
  }

 private:
  absl::Status Start(Client& client) {
    client.in.clear();
    ASSIGN_OR_RETURN(client.fd, Connect(options_.to, Clock::now() + std::chrono::seconds(5)));
    epoll_event event = {.events = EPOLLIN, .data = {.ptr = &client}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, client.fd.get(), &event) != 0)
      return Errno(errno, "epoll_ctl");
    return Ask(client);
  }

  absl::Status Ask(Client& client) {
    client.sent = Clock::now();
    return SendAll(client.fd.get(), request_);
  }

  absl::Status OnReadable(Client& client) {
    const ssize_t n = ::recv(client.fd.get(), buffer_, sizeof(buffer_), 0);
    if (n < 0) return errno == EAGAIN ? absl::OkStatus() : Errno(errno, "receive");
    if (n == 0) return Unavailable("connection closed");
    std::string_view in(buffer_, n);
    if (!client.in.empty()) {
      client.in.append(in);
      in = client.in;
    }
    ASSIGN_OR_RETURN(const size_t length, CompleteAnswer(in));
    if (length == 0) {
      if (client.in.empty()) client.in = in;
      return absl::OkStatus();
    }
    if (in.size() < 12 || in[9] != '2') {
      ++result_.errors;
      result_.last_error = std::string(in.substr(0, in.find('\r')));
    }
    client.in.clear();
    result_.latency.Add(Clock::now() - client.sent);
    ++result_.done;
    return Ask(client);
  }

  const LoadOptions& options_;
  std::string request_;
  UniqueFd epoll_;
  std::vector<Client> clients_;
  LoadResult result_;
  char buffer_[65536];
};

}  // namespace

absl::StatusOr<LoadResult> LoadHttp(const LoadOptions& options) {
  return std::make_unique<Run>(options)->Go();
}

}  // namespace mesh::meshapp

// The one file that meets cpp-httplib, which throws.
#include "ztunnel/base/http/server.h"

#include <httplib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "ztunnel/base/ip.h"
#include "ztunnel/base/status.h"

namespace mesh::base {
namespace {

// A bounded queue before a fixed number of threads: when it is full, the acceptor waits, and
// further connections wait in the kernel's backlog.
class BoundedPool final : public httplib::TaskQueue {
 public:
  using Accepted = decltype(std::declval<httplib::TaskQueue&>().enqueue(std::function<void()>()));

  explicit BoundedPool(const HttpServer::Options& options) : max_waiting_(options.max_waiting) {
    for (int i = 0; i < options.threads; ++i) threads_.emplace_back([this] { Run(); });
  }
  Accepted enqueue(std::function<void()> job) override {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return jobs_.size() < max_waiting_ || stopping_; });
      jobs_.push_back(std::move(job));
    }
    changed_.notify_all();
    return Accepted(true);
  }
  void shutdown() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (auto& thread : threads_) thread.join();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return !jobs_.empty() || stopping_; });
      if (jobs_.empty()) return;
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      changed_.notify_all();
      job();
      lock.lock();
    }
  }

  const size_t max_waiting_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

std::string Decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    int byte = 0;
    if (text[i] == '%' && i + 3 <= text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ptr ==
            text.data() + i + 3) {
      out.push_back(static_cast<char>(byte));
      i += 2;
    } else {
      out.push_back(text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

// The library's own parser loses what stands before a second '=' in a value.
std::multimap<std::string, std::string> ParseQuery(const std::string& target) {
  std::multimap<std::string, std::string> out;
  const size_t mark = target.find('?');
  if (mark == std::string::npos) return out;
  std::string_view rest = std::string_view(target).substr(mark + 1);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
    out.emplace(Decoded(pair.substr(0, equals)), Decoded(value));
  }
  return out;
}

void Answer(const HttpHandler& handler, const httplib::Request& in, httplib::Response& out) {
  HttpRequest request;
  request.method = in.method;
  request.path = in.path;
  request.query = ParseQuery(in.target);
  request.accept = in.get_header_value("Accept");
  request.accept_encoding = in.get_header_value("Accept-Encoding");
  request.body = in.body;
  const HttpResponse response = handler(request);
  out.status = response.status;
  out.set_content(response.body, response.content_type);
  if (!response.content_encoding.empty())
    out.set_header("Content-Encoding", response.content_encoding);
  if (!response.allow.empty()) out.set_header("Allow", response.allow);
}

void AnswerAlways(const HttpHandler& handler, const httplib::Request& in, httplib::Response& out) {
  try {
    Answer(handler, in, out);
  } catch (const std::exception& e) {
    out.status = 500;
    out.set_content(e.what(), "text/plain");
  }
}

// A request that says that it has a body: without that the library would read to the end.
bool HasBody(const httplib::Request& in) {
  const std::string length = in.get_header_value("Content-Length");
  return in.method == "POST" &&
         (in.has_header("Transfer-Encoding") || (!length.empty() && length != "0"));
}

}  // namespace

std::string HttpRequest::Parameter(const std::string& name) const {
  const auto it = query.find(name);
  return it == query.end() ? "" : it->second;
}

HttpHandler Routes(std::vector<HttpRoute> routes) {
  return [routes = std::move(routes)](const HttpRequest& request) -> HttpResponse {
    std::string allow;
    for (const HttpRoute& route : routes) {
      if (route.path != request.path) continue;
      if (route.method == request.method) return route.handler(request);
      allow = route.method;
    }
    if (allow.empty()) return {.status = 404, .body = "not found\n"};
    return {.status = 405, .body = allow + " only\n", .allow = allow};
  };
}

struct HttpServer::Impl {
  void Configure(HttpHandler handler, const Options& options);
  absl::Status Bind(const std::string& ip, uint16_t wanted);
  absl::Status BindUnix(const std::string& path);
  void Run();

  httplib::Server server;
  uint16_t port = 0;
  std::string socket_path;
  std::thread thread;
};

void HttpServer::Impl::Configure(HttpHandler handler, const Options& options) {
  server.new_task_queue = [options] { return new BoundedPool(options); };
  server.set_keep_alive_max_count(1);  // an idle connection must not hold a thread
  server.set_read_timeout(5);
  server.set_write_timeout(10);
  server.set_payload_max_length(options.max_body_bytes);
  server.set_pre_routing_handler([handler](const httplib::Request& in, httplib::Response& out) {
    if (HasBody(in)) return httplib::Server::HandlerResponse::Unhandled;
    AnswerAlways(handler, in, out);
    return httplib::Server::HandlerResponse::Handled;
  });
  server.Post(".*", [handler](const httplib::Request& in, httplib::Response& out) {
    AnswerAlways(handler, in, out);
  });
}

absl::Status HttpServer::Impl::Bind(const std::string& ip, uint16_t wanted) {
  if (wanted != 0) {
    if (!server.bind_to_port(ip, wanted)) return Errno(errno, "listen on {} port {}", ip, wanted);
    port = wanted;
    return absl::OkStatus();
  }
  const int bound = server.bind_to_any_port(ip);
  if (bound <= 0) return Errno(errno, "listen on {}", ip);
  port = static_cast<uint16_t>(bound);
  return absl::OkStatus();
}

absl::Status HttpServer::Impl::BindUnix(const std::string& path) {
  ::unlink(path.c_str());
  server.set_address_family(AF_UNIX);
  // Before the file is there, so that nobody but its owner is ever let in.
  server.set_socket_options([](socket_t fd) { ::fchmod(fd, 0600); });
  if (!server.bind_to_port(path, 80)) return Unavailable("cannot listen on {}", path);
  socket_path = path;
  return absl::OkStatus();
}

void HttpServer::Impl::Run() {
  thread = std::thread([this] {
    try {
      server.listen_after_bind();
    } catch (...) {
      // The socket is gone; what is waiting for this server sees it refused.
    }
  });
  // stop() means nothing to a server that does not run yet.
  for (int i = 0; i < 1000 && !server.is_running(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& ip, uint16_t port,
                                                              HttpHandler handler) {
  return Start(ip, port, std::move(handler), Options());
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& ip, uint16_t port,
                                                              HttpHandler handler,
                                                              Options options) {
  try {
    auto impl = std::make_unique<Impl>();
    impl->Configure(std::move(handler), options);
    RETURN_IF_ERROR(impl->Bind(ip, port));
    impl->Run();
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
  } catch (const std::exception& e) {
    return Internal("listen on {} port {}: {}", ip, port, e.what());
  }
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Listen(const std::string& address,
                                                               HttpHandler handler,
                                                               Options options) {
  if (!address.starts_with('/')) {
    const auto parsed = SocketAddress::Parse(address);
    if (!parsed) return Invalid("listen address \"{}\" is neither a path nor IP:PORT", address);
    return Start(parsed->ip.ToString(), parsed->port, std::move(handler), options);
  }
  try {
    auto impl = std::make_unique<Impl>();
    impl->Configure(std::move(handler), options);
    RETURN_IF_ERROR(impl->BindUnix(address));
    impl->Run();
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
  } catch (const std::exception& e) {
    return Internal("listen on {}: {}", address, e.what());
  }
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() {
  impl_->server.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
  if (!impl_->socket_path.empty()) ::unlink(impl_->socket_path.c_str());
}

uint16_t HttpServer::port() const { return impl_->port; }

}  // namespace mesh::base

// The one file that meets cpp-httplib, which throws.
#include "ztunnel/admin/http_server.h"

#include <httplib.h>

#include <charconv>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "ztunnel/base/status.h"

namespace mesh::admin {
namespace {

// A bounded queue before a fixed number of threads: when it is full, the acceptor waits, and
// further connections wait in the kernel's backlog.
class BoundedPool final : public httplib::TaskQueue {
 public:
  using Accepted = decltype(std::declval<httplib::TaskQueue&>().enqueue(std::function<void()>()));

  BoundedPool() {
    for (int i = 0; i < HttpServer::kThreads; ++i) threads_.emplace_back([this] { Run(); });
  }
  Accepted enqueue(std::function<void()> job) override {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return jobs_.size() < HttpServer::kMaxWaiting || stopping_; });
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
  const HttpResponse response = handler(request);
  out.status = response.status;
  out.set_content(response.body, response.content_type);
  if (!response.content_encoding.empty())
    out.set_header("Content-Encoding", response.content_encoding);
  if (!response.allow.empty()) out.set_header("Allow", response.allow);
}

}  // namespace

struct HttpServer::Impl {
  httplib::Server server;
  uint16_t port = 0;
  std::thread thread;
};

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& address,
                                                              uint16_t port, HttpHandler handler) {
  try {
    auto impl = std::make_unique<Impl>();
    httplib::Server& server = impl->server;
    server.new_task_queue = [] { return new BoundedPool(); };
    server.set_keep_alive_max_count(1);  // an idle connection must not hold a thread
    server.set_read_timeout(5);
    server.set_write_timeout(10);
    server.set_payload_max_length(64 * 1024);
    server.set_pre_routing_handler(
        [handler = std::move(handler)](const httplib::Request& in, httplib::Response& out) {
          try {
            Answer(handler, in, out);
          } catch (const std::exception& e) {
            out.status = 500;
            out.set_content(e.what(), "text/plain");
          }
          return httplib::Server::HandlerResponse::Handled;
        });
    if (port == 0) {
      const int bound = server.bind_to_any_port(address);
      if (bound <= 0) return Errno(errno, "listen on {}", address);
      impl->port = static_cast<uint16_t>(bound);
    } else {
      if (!server.bind_to_port(address, port))
        return Errno(errno, "listen on {} port {}", address, port);
      impl->port = port;
    }
    impl->thread = std::thread([&server] {
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
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
  } catch (const std::exception& e) {
    return Internal("listen on {} port {}: {}", address, port, e.what());
  }
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() {
  impl_->server.stop();
  impl_->thread.join();
}

uint16_t HttpServer::port() const { return impl_->port; }

}  // namespace mesh::admin

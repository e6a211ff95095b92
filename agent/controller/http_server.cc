#include "agent/controller/http_server.h"

#include <httplib.h>

#include <chrono>
#include <thread>

#include "ztunnel/base/ip.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {

class HttpServer::Impl {
 public:
  httplib::Server server;
  std::thread thread;
  int port = 0;
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() {
  impl_->server.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

int HttpServer::port() const { return impl_->port; }

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& address,
                                                              Handler handler) {
  const auto where = SocketAddress::Parse(address);
  if (!where) return Invalid("\"{}\" is not IP:PORT", address);
  try {
    auto impl = std::make_unique<Impl>();
    httplib::Server& server = impl->server;
    server.new_task_queue = [] { return new httplib::ThreadPool(4); };
    server.set_keep_alive_max_count(100);
    server.set_payload_max_length(1 << 16);
    server.Get(".*", [handler = std::move(handler)](const httplib::Request& request,
                                                    httplib::Response& response) {
      const HttpAnswer answer = handler(request.path, [&request](const std::string& name) {
        return request.has_param(name.c_str()) ? request.get_param_value(name.c_str())
                                               : std::string();
      });
      response.status = answer.status;
      response.set_content(answer.body, answer.content_type.c_str());
    });
    const std::string host = where->ip.ToString();
    if (where->port == 0) {
      impl->port = server.bind_to_any_port(host.c_str());
      if (impl->port <= 0) return Unavailable("cannot listen on {}", address);
    } else {
      if (!server.bind_to_port(host.c_str(), where->port)) {
        return Unavailable("cannot listen on {}", address);
      }
      impl->port = where->port;
    }
    impl->thread = std::thread([&server] {
      try {
        server.listen_after_bind();
      } catch (...) {
        // Nothing to tell: the socket is gone and requests are refused.
      }
    });
    // stop() means nothing to a server that does not run yet.
    for (int i = 0; i < 1000 && !server.is_running(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
  } catch (const std::exception& error) {
    return Internal("HTTP server on {}: {}", address, error.what());
  }
}

}  // namespace mesh::controller

#include "agent/node/http/unix_server.h"

#include <httplib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <exception>
#include <thread>

#include "ztunnel/base/ip.h"
#include "ztunnel/base/status.h"

namespace mesh::node {
namespace {

constexpr size_t kThreads = 4;
constexpr size_t kMaxBodyBytes = 256 * 1024;

class LibServer : public HttpServer {
 public:
  ~LibServer() override {
    server_.stop();
    if (thread_.joinable()) thread_.join();
    if (!socket_path_.empty()) ::unlink(socket_path_.c_str());
  }
  int port() const override { return port_; }

  void Serve(const std::vector<Route>& routes) {
    for (const Route& route : routes) {
      auto handle = [handler = route.handler](const httplib::Request& request,
                                              httplib::Response& response) {
        const HttpReply reply = handler(request.body);
        response.status = reply.status;
        response.set_content(reply.body, reply.content_type);
      };
      if (route.method == "POST") {
        server_.Post(route.path, handle);
      } else {
        server_.Get(route.path, handle);
      }
    }
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    server_.set_payload_max_length(kMaxBodyBytes);
    server_.set_keep_alive_max_count(16);
    server_.set_keep_alive_timeout(2);
    server_.set_read_timeout(5);
    server_.set_write_timeout(5);
  }
  absl::Status Bind(const std::string& address) {
    if (address.starts_with('/')) {
      ::unlink(address.c_str());
      server_.set_address_family(AF_UNIX);
      // Before the file is there, so that nobody but its owner is ever let in.
      server_.set_socket_options([](socket_t fd) { ::fchmod(fd, 0600); });
      if (!server_.bind_to_port(address, 80)) return Unavailable("cannot listen on {}", address);
      socket_path_ = address;
      return absl::OkStatus();
    }
    const auto parsed = SocketAddress::Parse(address);
    if (!parsed) return Invalid("listen address \"{}\" is neither a path nor IP:PORT", address);
    const std::string host = parsed->ip.ToString();
    if (parsed->port == 0) {
      port_ = server_.bind_to_any_port(host);
    } else if (server_.bind_to_port(host, parsed->port)) {
      port_ = parsed->port;
    }
    return port_ > 0 ? absl::OkStatus() : Unavailable("cannot listen on {}", address);
  }
  void Start() {
    thread_ = std::thread([this] {
      try {
        server_.listen_after_bind();
      } catch (
          const std::exception&) {  // a handler's own errors are answers; nothing is left to tell
      }
    });
    while (!server_.is_running()) std::this_thread::yield();
  }

 private:
  httplib::Server server_;
  std::thread thread_;
  std::string socket_path_;
  int port_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Listen(const std::string& address,
                                                               std::vector<Route> routes) {
  try {
    auto server = std::make_unique<LibServer>();
    server->Serve(routes);
    RETURN_IF_ERROR(server->Bind(address));
    server->Start();
    return std::unique_ptr<HttpServer>(std::move(server));
  } catch (const std::exception& error) {
    return Internal("listen on {}: {}", address, error.what());
  }
}

}  // namespace mesh::node

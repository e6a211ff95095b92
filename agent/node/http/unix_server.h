// A small HTTP server on a unix socket (or a TCP address): the CNI socket, the admin socket,
// metrics.
//
// Owner: whoever listens. Handlers run on the server's own threads (at most 4 at a time), must be
// thread-safe and may block. The destructor ends the server and removes the socket file, which lets
// in its owner and root only.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace mesh::node {

struct HttpReply {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
};

class HttpServer {
 public:
  using Handler = std::function<HttpReply(const std::string& body)>;
  struct Route {
    std::string method;  // GET or POST
    std::string path;
    Handler handler;
  };

  // `address`: an absolute path, whose stale file is removed, or IP:PORT (port 0: any).
  static absl::StatusOr<std::unique_ptr<HttpServer>> Listen(const std::string& address,
                                                            std::vector<Route> routes);
  virtual ~HttpServer() = default;
  virtual int port() const = 0;  // 0 on a unix socket
};

}  // namespace mesh::node

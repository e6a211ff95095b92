// A small HTTP/1.1 server for admin pages, metrics, probes and the CNI plugin: a bounded number of
// threads and waiting connections, one request a connection, small request bodies.
//
// Owner: whoever starts it. Handlers run on the server's threads, are thread-safe and may block.
// Destroying it stops listening and waits for handlers that run.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace mesh::base {

struct HttpRequest {
  std::string method;
  std::string path;  // without query
  std::multimap<std::string, std::string> query;
  std::string accept;
  std::string accept_encoding;
  std::string body;  // of a POST

  std::string Parameter(const std::string& name) const;  // the first of that name, or empty
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
  std::string content_encoding = {};  // of the body as it is
  std::string allow = {};             // of a 405
};

using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

struct HttpRoute {
  std::string method;
  std::string path;
  HttpHandler handler;
};
// By method and path; other paths are 404, other methods 405.
HttpHandler Routes(std::vector<HttpRoute> routes);

class HttpServer {
 public:
  struct Options {
    int threads = 2;
    size_t max_waiting = 64;  // connections beyond the threads; further ones wait in the kernel
    size_t max_body_bytes = size_t{64} << 10;
  };

  // On `ip` ("::" takes both families) and a port, 0 for any.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& ip, uint16_t port,
                                                           HttpHandler handler);
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& ip, uint16_t port,
                                                           HttpHandler handler, Options options);
  // On IP:PORT, or on a unix socket when `address` is an absolute path: a stale file is removed,
  // the new one lets in its owner and root only, and goes with the server.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Listen(const std::string& address,
                                                            HttpHandler handler, Options options);
  ~HttpServer();
  uint16_t port() const;  // 0 on a unix socket

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::base

// A small HTTP/1.1 server for admin pages, metrics and probes: a bounded number of threads and
// waiting connections, one request a connection, no request bodies to speak of.
//
// Owner: cmd. Handlers run on the server's threads. Destroying it stops listening and waits for
// handlers that run.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace mesh::admin {

struct HttpRequest {
  std::string method;
  std::string path;  // without query
  std::multimap<std::string, std::string> query;
  std::string accept;
  std::string accept_encoding;
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
  std::string content_encoding = {};  // of the body as it is
  std::string allow = {};             // of a 405
};

using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

class HttpServer {
 public:
  static constexpr int kThreads = 2;
  static constexpr size_t kMaxWaiting = 64;

  // Listens on `address` (IPv4 or IPv6; "::" takes both families) and serves until destroyed.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address,
                                                           uint16_t port, HttpHandler handler);
  ~HttpServer();
  uint16_t port() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::admin

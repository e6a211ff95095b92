// A small HTTP server on a thread of its own (cpp-httplib): GET requests to one handler.
//
// Owner: Controller. The handler runs on the server's threads (four) and may block.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string>

namespace mesh::controller {

struct HttpAnswer {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
};

class HttpServer {
 public:
  // `path` without the query; `query(name)` is the value of a parameter, or empty.
  using Query = std::function<std::string(const std::string& name)>;
  using Handler = std::function<HttpAnswer(const std::string& path, const Query& query)>;

  // `address` is IP:PORT; port 0 is any.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address,
                                                           Handler handler);
  ~HttpServer();
  int port() const;

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::controller

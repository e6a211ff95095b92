// One HTTP request to a daemon of the mesh: over a unix socket, or over TCP from the namespace that
// the calling thread is in (see Netns::Run). Blocking, with a deadline and a limit on the answer's
// size.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <string>

namespace mesh::meshctl {

struct HttpAnswer {
  int code = 0;
  std::string body;
};

struct HttpRequest {
  std::string method = "GET";
  std::string url = {};          // http://host:port/path; the host is not used with a unix socket
  std::string unix_socket = {};  // empty: TCP
  std::string body = {};
  absl::Duration timeout = absl::Seconds(5);
};

// Unavailable when nobody answers.
absl::StatusOr<HttpAnswer> Http(const HttpRequest& request);

}  // namespace mesh::meshctl

// Blocking sockets and HTTP/1.1 requests with a deadline: for upstream calls (on worker threads)
// and for the client and load commands.
#pragma once

#include <absl/status/statusor.h>

#include <chrono>
#include <string>
#include <string_view>

#include "tools/meshapp/http1.h"
#include "tools/meshapp/text.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::meshapp {

using Deadline = std::chrono::steady_clock::time_point;

// A connected socket that blocks for no longer than until `deadline`; addresses of the name are
// tried in the resolver's order. TCP_NODELAY.
absl::StatusOr<UniqueFd> Connect(const HostPort& to, Deadline deadline);

absl::Status SendAll(int fd, std::string_view bytes);
// As much as there is, at least one byte; 0 at the end. Unavailable when the deadline passed.
absl::StatusOr<size_t> ReceiveSome(int fd, char* out, size_t size, Deadline deadline);

struct FetchRequest {
  HostPort to;
  std::string method = "GET";
  std::string path = "/";
  Headers headers;
  std::string body;
  size_t max_body_bytes = 16 << 20;
};
struct FetchResponse {
  int status = 0;
  Headers headers;
  std::string body;
};
absl::StatusOr<FetchResponse> Fetch(const FetchRequest& request, Deadline deadline);

// The same over a connection that the caller keeps.
absl::StatusOr<FetchResponse> FetchOn(int fd, const FetchRequest& request, bool keep_alive,
                                      Deadline deadline);

// "http://host[:port]/path" -> where and what.
absl::StatusOr<FetchRequest> ParseUrl(std::string_view url);

}  // namespace mesh::meshapp

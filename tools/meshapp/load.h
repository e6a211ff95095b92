// Load against the sample's own servers, each run for a time, on blocking sockets with a thread a
// connection (http: one thread for all, by epoll):
//   short: connect, one exchange with an echo, close, again   rr: ping-pong on one connection each
//   idle:  connections that exchanged one byte and then wait  bulk: bytes into a sink, or out of a
//   source http:  GET on keep-alive connections, one request each at a time
//
// A result counts what the other side confirmed, never what was only handed to the kernel.
#pragma once

#include <absl/status/statusor.h>

#include <chrono>
#include <string>

#include "tools/meshapp/fetch.h"
#include "tools/meshapp/histogram.h"

namespace mesh::meshapp {

struct LoadOptions {
  HostPort to;
  int connections = 1;
  std::chrono::milliseconds time{5'000};
  size_t bytes = 100;      // of one exchange
  bool reverse = false;    // bulk: read from a source
  std::string path = "/";  // http
};

struct LoadResult {
  std::string mode;
  uint64_t done = 0;  // exchanges, connections or bytes
  uint64_t errors = 0;
  std::string last_error;
  double seconds = 0;
  Histogram latency;  // empty for bulk and idle

  std::string Text() const;
  std::string Json() const;
};

absl::StatusOr<LoadResult> LoadShort(const LoadOptions& options);
absl::StatusOr<LoadResult> LoadRoundTrips(const LoadOptions& options);
absl::StatusOr<LoadResult> LoadIdle(const LoadOptions& options);
absl::StatusOr<LoadResult> LoadBulk(const LoadOptions& options);
absl::StatusOr<LoadResult> LoadHttp(const LoadOptions& options);

// `count` requests over `connections` threads: how often each status, each version of the answering
// service and each error came.
struct ClientOptions {
  FetchRequest request;
  uint64_t count = 1;
  int connections = 1;
  std::chrono::milliseconds timeout{10'000};
  bool print_body = false;
};
// The text to print; `all_ok` tells whether every request got a status below 400.
std::string RunClient(const ClientOptions& options, bool& all_ok);

}  // namespace mesh::meshapp

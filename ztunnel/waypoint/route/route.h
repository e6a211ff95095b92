// What happens to a request that a route takes: plain values, immutable once compiled.
#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ztunnel/waypoint/route/header_ops.h"
#include "ztunnel/waypoint/route/retry.h"
#include "ztunnel/waypoint/route/text_match.h"

namespace mesh::route {

// In millionths; `random` is uniform over all values.
struct Share {
  uint32_t per_million = 0;
  bool Takes(uint64_t random) const { return random % 1'000'000 < per_million; }
};

struct Backend {
  std::string cluster;  // empty: unknown
  uint32_t weight = 0;
  HeaderOps request_headers, response_headers;
  uint16_t unknown_status = 503;  // the answer when the cluster is unknown
};

struct RegexRewrite {
  Regex match;
  std::string substitution;
};
struct FullPath {
  std::string path;
};
struct PrefixReplacement {
  std::string prefix;
};
struct Rewrite {
  std::variant<std::monostate, FullPath, PrefixReplacement, RegexRewrite> path;
  std::optional<std::string> authority;
};

struct Mirror {
  std::string cluster;
  Share share;
};

struct Forward {
  std::vector<Backend> backends;  // never empty
  uint64_t weight_sum = 0;
  bool backend_headers_first = false;
  Rewrite rewrite;
  std::optional<absl::Duration> timeout;
  std::optional<RetryPolicy> retry;
  std::vector<Mirror> mirrors;
};

struct Redirect {
  std::variant<std::monostate, FullPath, PrefixReplacement> path;
  std::optional<std::string> authority;
  std::optional<uint16_t> port;
  bool port_of_request = false;
  std::optional<std::string> scheme;
  uint16_t code = 301;
};

struct DirectResponse {
  uint16_t status = 200;
  std::shared_ptr<const std::string> body;  // null: none
};

struct Fault {
  absl::Duration delay;
  Share delay_share;
  std::optional<uint16_t> abort_status;
  std::optional<int> abort_grpc_status;
  Share abort_share;
};

struct Cors {
  std::vector<TextMatch> allow_origins;
  std::string allow_methods, allow_headers, expose_headers;  // joined; empty: no header
  bool any_method = false;                                   // "*": what was asked for
  bool any_header = false;
  std::optional<int64_t> max_age_seconds;
  bool allow_credentials = false;
  bool ignore_unmatched_preflights = false;
};

// One alternative of one route of the Frontend.
struct Route {
  std::string name;    // <route>, or <route>.<match>
  std::string origin;  // for people
  PathMatch path;      // what took the request
  std::variant<Forward, Redirect, DirectResponse> action;
  std::optional<Fault> fault;
  std::optional<Cors> cors;
  HeaderOps request_headers, response_headers;

  const Forward* forward() const { return std::get_if<Forward>(&action); }
};

// By weight; with one backend always that. Never null.
const Backend& ChooseBackend(const Forward& forward, uint64_t random);

}  // namespace mesh::route

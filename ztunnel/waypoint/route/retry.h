// Retries and timeouts of a request: what the route says, what the caller's headers change, and
// whether an attempt that ended is tried again. Pure: no clock, randomness is an argument.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/waypoint/http/message.h"
#include "ztunnel/waypoint/http/stream.h"

namespace mesh::l7::v1 {
class Retry;
}

namespace mesh::route {

// Envoy's tokens.
enum RetryOn : uint32_t {
  kRetry5xx = 1u << 0,
  kRetryGatewayError = 1u << 1,
  kRetryReset = 1u << 2,
  kRetryResetBeforeRequest = 1u << 3,
  kRetryConnectFailure = 1u << 4,
  kRetryRetriable4xx = 1u << 5,
  kRetryRefusedStream = 1u << 6,
  kRetryStatusCodes = 1u << 7,
  kRetryHeaders = 1u << 8,
  kRetryRateLimited = 1u << 9,
  kRetryCancelled = 1u << 10,
  kRetryDeadlineExceeded = 1u << 11,
  kRetryResourceExhausted = 1u << 12,
  kRetryInternal = 1u << 13,
  kRetryUnavailable = 1u << 14,
  kRetryHttp3 = 1u << 15,  // no meaning over TCP
};
// Nothing when the token is not known.
std::optional<uint32_t> RetryToken(std::string_view token);

struct BackOff {
  absl::Duration base = absl::Milliseconds(25);
  absl::Duration max = absl::Milliseconds(250);
};

struct RetryPolicy {
  uint32_t attempts = 0;  // beyond the first
  std::optional<absl::Duration> per_try_timeout;
  uint32_t on = 0;  // RetryOn
  std::vector<uint16_t> status_codes;
  BackOff back_off;
  bool avoid_previous_hosts = false;
  bool remote_localities = false;
};
absl::StatusOr<RetryPolicy> CompileRetry(const l7::v1::Retry& retry);

// The policy of one request.
struct RetryPlan {
  uint32_t attempts = 0;  // beyond the first; 0: no retries
  uint32_t on = 0;
  const RetryPolicy* policy = nullptr;         // null: the caller's headers alone ask
  std::vector<uint16_t> extra_status_codes;    // x-envoy-retriable-status-codes
  std::vector<std::string> retriable_headers;  // x-envoy-retriable-header-names

  BackOff back_off() const { return policy ? policy->back_off : BackOff(); }
};
inline constexpr uint32_t kMaxRetriesByHeader = 25;

// `policy` may be null. Reads and removes x-envoy-retry-on, x-envoy-retry-grpc-on,
// x-envoy-max-retries, x-envoy-retriable-status-codes, x-envoy-retriable-header-names.
RetryPlan PlanRetries(const RetryPolicy* policy, http::HeaderMap& headers);

// How one attempt ended: with a response head, or without any.
struct Outcome {
  uint16_t status = 0;                       // 0: no response
  const http::HeaderMap* headers = nullptr;  // of the response; null: none
  http::StreamError error = http::StreamError::kNone;
  bool per_try_timeout = false;
  bool headers_sent = false;  // whether the request's head had left for the upstream
};
// Whether the plan wants that outcome retried; limits (attempts, budget, buffer, a head that the
// client has already, the route's timeout) are the caller's.
bool Retriable(const RetryPlan& plan, const Outcome& outcome);

// Before retry `n` (1 is the first): uniform in [0, base * (2^n - 1)), at most max.
absl::Duration RetryDelay(const BackOff& back_off, uint32_t n, uint64_t random);

struct Timeouts {
  std::optional<absl::Duration> total;    // none: no limit
  std::optional<absl::Duration> per_try;  // none, or not below total: no limit of its own
};
// x-envoy-upstream-rq-timeout-ms and x-envoy-upstream-rq-per-try-timeout-ms win and are removed;
// grpc-timeout of a gRPC request counts, at most the route's.
Timeouts TimeoutsOf(std::optional<absl::Duration> route_timeout, const RetryPolicy* policy,
                    http::HeaderMap& headers);
// RFC of gRPC over HTTP/2: 1 to 8 digits and one of H M S m u n.
std::optional<absl::Duration> ParseGrpcTimeout(std::string_view text);

}  // namespace mesh::route

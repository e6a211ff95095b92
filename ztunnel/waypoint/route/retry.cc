#include "ztunnel/waypoint/route/retry.h"

#include <absl/strings/numbers.h>

#include <algorithm>
#include <iterator>

#include "proto/l7_frontend.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/http/chars.h"
#include "ztunnel/waypoint/route/compile.h"

namespace mesh::route {
namespace {

struct Token {
  std::string_view name;
  RetryOn on;
};
constexpr Token kTokens[] = {
    {"5xx", kRetry5xx},
    {"gateway-error", kRetryGatewayError},
    {"reset", kRetryReset},
    {"reset-before-request", kRetryResetBeforeRequest},
    {"connect-failure", kRetryConnectFailure},
    {"retriable-4xx", kRetryRetriable4xx},
    {"refused-stream", kRetryRefusedStream},
    {"retriable-status-codes", kRetryStatusCodes},
    {"retriable-headers", kRetryHeaders},
    {"envoy-ratelimited", kRetryRateLimited},
    {"cancelled", kRetryCancelled},
    {"deadline-exceeded", kRetryDeadlineExceeded},
    {"resource-exhausted", kRetryResourceExhausted},
    {"internal", kRetryInternal},
    {"unavailable", kRetryUnavailable},
    {"http3-post-connect-failure", kRetryHttp3},
};
constexpr uint32_t kGrpcTokens = kRetryCancelled | kRetryDeadlineExceeded |
                                 kRetryResourceExhausted | kRetryInternal | kRetryUnavailable;
constexpr size_t kMaxListed = 32;  // status codes and header names that a caller may name

template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number number = 0;
  if (!absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &number)) return std::nullopt;
  return number;
}

// The first value of a field, which goes.
std::optional<std::string> Take(http::HeaderMap& headers, std::string_view name) {
  const auto found = headers.Find(name);
  if (!found) return std::nullopt;
  std::string value(*found);
  headers.Remove(name);
  return value;
}

uint32_t TokensOf(std::string_view list, uint32_t allowed) {
  uint32_t on = 0;
  http::ForEachElement(list, [&on](std::string_view item) { on |= RetryToken(item).value_or(0); });
  return on & allowed;
}

bool Is5xx(uint16_t status) { return status >= 500 && status <= 599; }
bool IsGatewayError(uint16_t status) { return status >= 502 && status <= 504; }

uint32_t GrpcToken(const http::HeaderMap* headers) {
  const auto text = headers == nullptr ? std::nullopt : headers->Find("grpc-status");
  if (!text) return 0;
  switch (ParseNumber<uint32_t>(*text).value_or(0)) {
    case 1:
      return kRetryCancelled;
    case 4:
      return kRetryDeadlineExceeded;
    case 8:
      return kRetryResourceExhausted;
    case 13:
      return kRetryInternal;
    case 14:
      return kRetryUnavailable;
    default:
      return 0;
  }
}

bool Lists(const std::vector<uint16_t>& codes, uint16_t status) {
  return std::find(codes.begin(), codes.end(), status) != codes.end();
}

bool RetriableResponse(const RetryPlan& plan, const Outcome& outcome) {
  const auto on = [&plan](uint32_t tokens) { return (plan.on & tokens) != 0; };
  if (outcome.headers != nullptr && outcome.headers->Has("x-envoy-ratelimited"))
    return on(kRetryRateLimited);
  if (Is5xx(outcome.status) && on(kRetry5xx)) return true;
  if (IsGatewayError(outcome.status) && on(kRetryGatewayError)) return true;
  if (outcome.status == 409 && on(kRetryRetriable4xx)) return true;
  if (on(kRetryStatusCodes) &&
      (Lists(plan.extra_status_codes, outcome.status) ||
       (plan.policy != nullptr && Lists(plan.policy->status_codes, outcome.status))))
    return true;
  if (on(kRetryHeaders) && outcome.headers != nullptr) {
    for (const std::string& name : plan.retriable_headers)
      if (outcome.headers->Has(name)) return true;
  }
  return on(GrpcToken(outcome.headers));
}

bool RetriableReset(const RetryPlan& plan, const Outcome& outcome) {
  using http::StreamError;
  const auto on = [&plan](uint32_t tokens) { return (plan.on & tokens) != 0; };
  if (outcome.per_try_timeout) return on(kRetry5xx | kRetryGatewayError | kRetryReset);
  switch (outcome.error) {
    case StreamError::kNone:
    case StreamError::kOverload:
    case StreamError::kLocal:
      return false;
    case StreamError::kRefused:
      if (on(kRetryRefusedStream)) return true;
      break;
    case StreamError::kConnectFailure:
      if (on(kRetryConnectFailure)) return true;
      break;
    case StreamError::kReset:
    case StreamError::kProtocol:
    case StreamError::kTimeout:
    case StreamError::kDrained:
      break;
  }
  if (!outcome.headers_sent && on(kRetryResetBeforeRequest)) return true;
  return on(kRetry5xx | kRetryGatewayError | kRetryReset);
}

}  // namespace

std::optional<uint32_t> RetryToken(std::string_view token) {
  for (const Token& known : kTokens)
    if (known.name == token) return known.on;
  return std::nullopt;
}

absl::StatusOr<RetryPolicy> CompileRetry(const l7::v1::Retry& retry) {
  RetryPolicy out;
  out.attempts = retry.attempts();
  for (int i = 0; i < retry.retry_on_size(); ++i) {
    const auto token = RetryToken(http::Trim(retry.retry_on(i)));
    if (!token) return Invalid("retry_on[{}]: \"{}\" is not known", i, retry.retry_on(i));
    out.on |= *token;
  }
  for (int i = 0; i < retry.retriable_status_codes_size(); ++i) {
    const uint32_t code = retry.retriable_status_codes(i);
    if (code < 100 || code > 599) return Invalid("retriable_status_codes[{}]: {}", i, code);
    out.status_codes.push_back(static_cast<uint16_t>(code));
    out.on |= kRetryStatusCodes;
  }
  if (retry.has_per_try_timeout()) {
    ASSIGN_OR_RETURN(absl::Duration timeout,
                     WithContext(CompileDuration(retry.per_try_timeout()), "per_try_timeout"));
    if (timeout > absl::ZeroDuration()) out.per_try_timeout = timeout;
  }
  if (retry.back_off().has_base()) {
    ASSIGN_OR_RETURN(out.back_off.base,
                     WithContext(CompileDuration(retry.back_off().base()), "back_off.base"));
    out.back_off.max = out.back_off.base * 10;
  }
  if (retry.back_off().has_max()) {
    ASSIGN_OR_RETURN(out.back_off.max,
                     WithContext(CompileDuration(retry.back_off().max()), "back_off.max"));
  }
  out.avoid_previous_hosts = retry.avoid_previous_hosts();
  out.remote_localities = retry.remote_localities();
  return out;
}

RetryPlan PlanRetries(const RetryPolicy* policy, http::HeaderMap& headers) {
  RetryPlan plan;
  plan.policy = policy;
  if (policy != nullptr && policy->attempts > 0) {
    plan.on = policy->on;
    plan.attempts = policy->attempts;
  }
  if (const auto list = Take(headers, "x-envoy-retry-on")) plan.on |= TokensOf(*list, ~kGrpcTokens);
  if (const auto list = Take(headers, "x-envoy-retry-grpc-on"))
    plan.on |= TokensOf(*list, kGrpcTokens);
  if (plan.on != 0 && plan.attempts == 0) plan.attempts = 1;  // asked for by headers alone
  if (const auto text = Take(headers, "x-envoy-max-retries")) {
    const auto number = ParseNumber<uint32_t>(*text);
    if (number && plan.on != 0) plan.attempts = std::min(*number, kMaxRetriesByHeader);
  }
  if (const auto list = Take(headers, "x-envoy-retriable-status-codes")) {
    http::ForEachElement(*list, [&plan](std::string_view item) {
      const auto code = ParseNumber<uint32_t>(item);
      if (code && *code >= 100 && *code <= 599 && plan.extra_status_codes.size() < kMaxListed)
        plan.extra_status_codes.push_back(static_cast<uint16_t>(*code));
    });
  }
  if (const auto list = Take(headers, "x-envoy-retriable-header-names")) {
    http::ForEachElement(*list, [&plan](std::string_view item) {
      if (plan.retriable_headers.size() < kMaxListed) plan.retriable_headers.push_back(Lower(item));
    });
  }
  return plan;
}

bool Retriable(const RetryPlan& plan, const Outcome& outcome) {
  if (plan.attempts == 0 || plan.on == 0) return false;
  return outcome.status != 0 ? RetriableResponse(plan, outcome) : RetriableReset(plan, outcome);
}

absl::Duration RetryDelay(const BackOff& back_off, uint32_t n, uint64_t random) {
  const uint32_t doublings = std::min(n, 20u);
  const absl::Duration range =
      std::min(back_off.base * ((int64_t{1} << doublings) - 1), back_off.max);
  const int64_t micros = absl::ToInt64Microseconds(range);
  if (micros <= 0) return absl::ZeroDuration();
  return absl::Microseconds(static_cast<int64_t>(random % static_cast<uint64_t>(micros)));
}

std::optional<absl::Duration> ParseGrpcTimeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t count = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    count = count * 10 + (c - '0');
  }
  switch (text.back()) {
    case 'H':
      return absl::Hours(count);
    case 'M':
      return absl::Minutes(count);
    case 'S':
      return absl::Seconds(count);
    case 'm':
      return absl::Milliseconds(count);
    case 'u':
      return absl::Microseconds(count);
    case 'n':
      return absl::Nanoseconds(count);
    default:
      return std::nullopt;
  }
}

Timeouts TimeoutsOf(std::optional<absl::Duration> route_timeout, const RetryPolicy* policy,
                    http::HeaderMap& headers) {
  Timeouts out{route_timeout, policy == nullptr ? std::nullopt : policy->per_try_timeout};
  if (const auto text = headers.Find("grpc-timeout"); text && http::IsGrpc(headers)) {
    if (const auto asked = ParseGrpcTimeout(*text))
      out.total = route_timeout ? std::min(*asked, *route_timeout) : *asked;
  }
  const auto milliseconds = [&headers](std::string_view name) -> std::optional<absl::Duration> {
    const auto text = Take(headers, name);
    const auto number = text ? ParseNumber<uint32_t>(*text) : std::nullopt;
    return number ? std::optional(absl::Milliseconds(*number)) : std::nullopt;
  };
  const auto none_if_zero = [](absl::Duration d) {
    return d == absl::ZeroDuration() ? std::nullopt : std::optional(d);
  };
  if (const auto asked = milliseconds("x-envoy-upstream-rq-timeout-ms"))
    out.total = none_if_zero(*asked);
  if (const auto asked = milliseconds("x-envoy-upstream-rq-per-try-timeout-ms"))
    out.per_try = none_if_zero(*asked);
  if (out.total && out.per_try && *out.per_try >= *out.total) out.per_try.reset();
  return out;
}

}  // namespace mesh::route

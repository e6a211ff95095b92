#include "ztunnel/waypoint/route/retry.h"

#include "ztunnel/waypoint/route/for_test.h"

namespace mesh::route {
namespace {

using http::StreamError;

http::HeaderMap HeadersOf(std::initializer_list<std::pair<const char*, const char*>> fields) {
  http::HeaderMap out;
  for (const auto& [name, value] : fields) out.Add(name, value);
  return out;
}

RetryPolicy PolicyOf(const std::string& text) {
  auto policy = CompileRetry(FromText<l7::v1::Retry>(text));
  EXPECT_TRUE(policy.ok()) << policy.status();
  return *policy;
}

bool RetriesOn(const std::string& token, const Outcome& outcome) {
  const RetryPolicy policy = PolicyOf("attempts: 2 retry_on: '" + token + "'");
  http::HeaderMap none;
  return Retriable(PlanRetries(&policy, none), outcome);
}

TEST(Retry, EachTokenTakesItsResponses) {
  struct Case {
    const char* token;
    std::vector<uint16_t> retried, not_retried;
  } cases[] = {
      {"5xx", {500, 501, 503, 599}, {200, 404, 409, 429, 600}},
      {"gateway-error", {502, 503, 504}, {500, 501, 505}},
      {"retriable-4xx", {409}, {400, 404, 429, 500}},
      {"reset", {}, {500, 503}},
      {"connect-failure", {}, {503}},
      {"refused-stream", {}, {503}},
      {"reset-before-request", {}, {503}},
      {"retriable-status-codes", {}, {503}},  // none are listed
      {"unavailable", {}, {503}},
      {"http3-post-connect-failure", {}, {503}},
      {" 5xx ", {500}, {200}},
  };
  for (const Case& c : cases) {
    for (const uint16_t status : c.retried)
      EXPECT_TRUE(RetriesOn(c.token, {.status = status})) << c.token << status;
    for (const uint16_t status : c.not_retried)
      EXPECT_FALSE(RetriesOn(c.token, {.status = status})) << c.token << status;
  }
}

TEST(Retry, EachTokenTakesItsResets) {
  const StreamError all[] = {StreamError::kReset,    StreamError::kRefused,
                             StreamError::kProtocol, StreamError::kConnectFailure,
                             StreamError::kTimeout,  StreamError::kDrained};
  for (const StreamError error : all) {
    for (const char* token : {"5xx", "gateway-error", "reset"})
      EXPECT_TRUE(RetriesOn(token, {.error = error, .headers_sent = true})) << token;
    for (const char* token : {"retriable-4xx", "retriable-status-codes", "cancelled"})
      EXPECT_FALSE(RetriesOn(token, {.error = error, .headers_sent = true})) << token;
    EXPECT_EQ(RetriesOn("refused-stream", {.error = error}), error == StreamError::kRefused);
    EXPECT_EQ(RetriesOn("connect-failure", {.error = error}),
              error == StreamError::kConnectFailure);
    EXPECT_TRUE(RetriesOn("reset-before-request", {.error = error}));
    EXPECT_FALSE(RetriesOn("reset-before-request", {.error = error, .headers_sent = true}));
  }
}

TEST(Retry, OurOwnLimitsAreNeverRetried) {
  for (const StreamError error : {StreamError::kOverload, StreamError::kLocal, StreamError::kNone})
    for (const char* token : {"5xx", "reset", "reset-before-request", "connect-failure"})
      EXPECT_FALSE(RetriesOn(token, {.error = error})) << token;
}

TEST(Retry, APerTryTimeoutIsAResetWithoutResponse) {
  const Outcome timeout{.error = StreamError::kLocal, .per_try_timeout = true};
  for (const char* token : {"5xx", "gateway-error", "reset"})
    EXPECT_TRUE(RetriesOn(token, timeout)) << token;
  for (const char* token : {"connect-failure", "refused-stream", "reset-before-request"})
    EXPECT_FALSE(RetriesOn(token, timeout)) << token;
}

TEST(Retry, GrpcTokensReadTheResponseHead) {
  const std::pair<const char*, const char*> tokens[] = {{"cancelled", "1"},
                                                        {"deadline-exceeded", "4"},
                                                        {"resource-exhausted", "8"},
                                                        {"internal", "13"},
                                                        {"unavailable", "14"}};
  for (const auto& [token, status] : tokens) {
    for (const auto& [other, other_status] : tokens) {
      const http::HeaderMap headers = HeadersOf({{"grpc-status", other_status}});
      EXPECT_EQ(RetriesOn(token, {.status = 200, .headers = &headers}),
                std::string(token) == other);
    }
    const http::HeaderMap none = HeadersOf({}), ok = HeadersOf({{"grpc-status", "0"}}),
                          bad = HeadersOf({{"grpc-status", "x"}});
    for (const auto* headers : {&none, &ok, &bad})
      EXPECT_FALSE(RetriesOn(token, {.status = 200, .headers = headers}));
  }
}

TEST(Retry, RateLimitedOnlyWhenAskedFor) {
  const http::HeaderMap headers = HeadersOf({{"x-envoy-ratelimited", "true"}});
  EXPECT_FALSE(RetriesOn("5xx", {.status = 503, .headers = &headers}));
  EXPECT_TRUE(RetriesOn("envoy-ratelimited", {.status = 429, .headers = &headers}));
  http::HeaderMap none;
  EXPECT_FALSE(RetriesOn("envoy-ratelimited", {.status = 429, .headers = &none}));
}

TEST(Retry, TheSeedsPolicy) {
  const RetryPolicy policy = PolicyOf(
      "attempts: 3 per_try_timeout { seconds: 2 } retry_on: '5xx' retry_on: 'reset' "
      "retry_on: 'connect-failure' retry_on: 'retriable-4xx' retriable_status_codes: 418");
  http::HeaderMap headers;
  const RetryPlan plan = PlanRetries(&policy, headers);
  EXPECT_EQ(plan.attempts, 3);
  EXPECT_EQ(policy.per_try_timeout, absl::Seconds(2));
  for (const uint16_t status : {500, 503, 409, 418})
    EXPECT_TRUE(Retriable(plan, {.status = status})) << status;
  for (const uint16_t status : {200, 404, 429})
    EXPECT_FALSE(Retriable(plan, {.status = status})) << status;
}

TEST(Retry, ZeroAttemptsSwitchOff) {
  const RetryPolicy policy = PolicyOf("attempts: 0 retry_on: '5xx'");
  http::HeaderMap headers;
  EXPECT_FALSE(Retriable(PlanRetries(&policy, headers), {.status = 503}));
  EXPECT_FALSE(Retriable(PlanRetries(nullptr, headers), {.status = 503}));
}

TEST(Retry, CallersMayAskForMore) {
  const RetryPolicy policy = PolicyOf("attempts: 2 retry_on: 'reset'");
  http::HeaderMap headers = HeadersOf({{"x-envoy-retry-on", "5xx , unknown, unavailable"},
                                       {"x-envoy-max-retries", "5"},
                                       {"other", "stays"}});
  const RetryPlan plan = PlanRetries(&policy, headers);
  EXPECT_EQ(plan.attempts, 5);
  EXPECT_EQ(plan.on, kRetryReset | kRetry5xx);  // gRPC tokens have their own header
  EXPECT_EQ(headers.size(), 1u);

  headers = HeadersOf({{"x-envoy-retry-grpc-on", "unavailable,5xx"}});
  const RetryPlan grpc = PlanRetries(nullptr, headers);
  EXPECT_EQ(grpc.on, kRetryUnavailable);
  EXPECT_EQ(grpc.attempts, 1);
  EXPECT_EQ(grpc.back_off().base, absl::Milliseconds(25));

  headers = HeadersOf({{"x-envoy-retry-on", "retriable-status-codes,retriable-headers"},
                       {"x-envoy-retriable-status-codes", "418, 9999, x,403"},
                       {"x-envoy-retriable-header-names", "X-Again"}});
  const RetryPlan listed = PlanRetries(nullptr, headers);
  EXPECT_TRUE(headers.empty());
  EXPECT_TRUE(Retriable(listed, {.status = 418}));
  EXPECT_TRUE(Retriable(listed, {.status = 403}));
  EXPECT_FALSE(Retriable(listed, {.status = 404}));
  const http::HeaderMap again = HeadersOf({{"x-again", ""}});
  EXPECT_TRUE(Retriable(listed, {.status = 200, .headers = &again}));
}

TEST(Retry, CallersAreBounded) {
  http::HeaderMap headers =
      HeadersOf({{"x-envoy-retry-on", "5xx"}, {"x-envoy-max-retries", "4000000000"}});
  EXPECT_EQ(PlanRetries(nullptr, headers).attempts, kMaxRetriesByHeader);
  headers = HeadersOf({{"x-envoy-retry-on", "5xx"}, {"x-envoy-max-retries", "0"}});
  EXPECT_EQ(PlanRetries(nullptr, headers).attempts, 0u);
  headers = HeadersOf({{"x-envoy-max-retries", "9"}});  // of nothing
  EXPECT_EQ(PlanRetries(nullptr, headers).attempts, 0u);
}

TEST(BackOff, GrowsWithinItsRange) {
  const BackOff back_off;
  const struct {
    uint32_t n;
    int64_t range_ms;
  } cases[] = {{1, 25}, {2, 75}, {3, 175}, {4, 250}, {40, 250}};
  for (const auto& c : cases) {
    const uint64_t micros = static_cast<uint64_t>(c.range_ms) * 1000;
    EXPECT_EQ(RetryDelay(back_off, c.n, 0), absl::ZeroDuration());
    EXPECT_EQ(RetryDelay(back_off, c.n, micros - 1), absl::Microseconds(micros - 1)) << c.n;
    EXPECT_EQ(RetryDelay(back_off, c.n, micros), absl::ZeroDuration()) << c.n;
  }
  const RetryPolicy policy = PolicyOf("back_off { base { seconds: 1 } }");
  EXPECT_EQ(policy.back_off.max, absl::Seconds(10));
  EXPECT_EQ(PolicyOf("back_off { base { seconds: 1 } max { seconds: 2 } }").back_off.max,
            absl::Seconds(2));
  EXPECT_EQ(RetryDelay({absl::ZeroDuration(), absl::Seconds(1)}, 3, 9), absl::ZeroDuration());
}

TEST(Timeouts, GrpcTimeoutsAreReadStrictly) {
  EXPECT_EQ(ParseGrpcTimeout("1S"), absl::Seconds(1));
  EXPECT_EQ(ParseGrpcTimeout("12345678n"), absl::Nanoseconds(12345678));
  EXPECT_EQ(ParseGrpcTimeout("2H"), absl::Hours(2));
  EXPECT_EQ(ParseGrpcTimeout("3M"), absl::Minutes(3));
  EXPECT_EQ(ParseGrpcTimeout("4m"), absl::Milliseconds(4));
  EXPECT_EQ(ParseGrpcTimeout("5u"), absl::Microseconds(5));
  for (const char* bad : {"", "S", "1", "1s", "123456789S", "-1S", "1 S", "1.5S"})
    EXPECT_EQ(ParseGrpcTimeout(bad), std::nullopt) << bad;
}

TEST(Timeouts, TheRouteTheCallerAndGrpc) {
  const RetryPolicy policy = PolicyOf("attempts: 1 per_try_timeout { seconds: 2 }");
  http::HeaderMap headers;
  Timeouts timeouts = TimeoutsOf(absl::Seconds(10), &policy, headers);
  EXPECT_EQ(timeouts.total, absl::Seconds(10));
  EXPECT_EQ(timeouts.per_try, absl::Seconds(2));
  timeouts = TimeoutsOf(absl::Seconds(1), &policy, headers);
  EXPECT_EQ(timeouts.per_try, std::nullopt);  // the whole is shorter
  timeouts = TimeoutsOf(std::nullopt, nullptr, headers);
  EXPECT_FALSE(timeouts.total || timeouts.per_try);

  headers = HeadersOf({{"x-envoy-upstream-rq-timeout-ms", "700"},
                       {"x-envoy-upstream-rq-per-try-timeout-ms", "300"}});
  timeouts = TimeoutsOf(absl::Seconds(10), &policy, headers);
  EXPECT_EQ(timeouts.total, absl::Milliseconds(700));
  EXPECT_EQ(timeouts.per_try, absl::Milliseconds(300));
  EXPECT_TRUE(headers.empty());
  headers = HeadersOf({{"x-envoy-upstream-rq-timeout-ms", "0"}});
  EXPECT_EQ(TimeoutsOf(absl::Seconds(10), nullptr, headers).total, std::nullopt);
  headers = HeadersOf({{"x-envoy-upstream-rq-timeout-ms", "-1"}});
  EXPECT_EQ(TimeoutsOf(absl::Seconds(10), nullptr, headers).total, absl::Seconds(10));

  headers = HeadersOf({{"content-type", "application/grpc"}, {"grpc-timeout", "5S"}});
  EXPECT_EQ(TimeoutsOf(std::nullopt, nullptr, headers).total, absl::Seconds(5));
  EXPECT_EQ(TimeoutsOf(absl::Seconds(3), nullptr, headers).total, absl::Seconds(3));
  EXPECT_TRUE(headers.Has("grpc-timeout"));
  headers = HeadersOf({{"grpc-timeout", "5S"}});  // not gRPC
  EXPECT_EQ(TimeoutsOf(std::nullopt, nullptr, headers).total, std::nullopt);
}

}  // namespace
}  // namespace mesh::route

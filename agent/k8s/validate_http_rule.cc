// The rules of VirtualService's http.
#include <absl/strings/escaping.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <set>

#include "agent/k8s/checker.h"
#include "agent/k8s/duration.h"
#include "agent/k8s/grpc_status.h"
#include "agent/k8s/validate.h"

namespace mesh::k8s {
namespace {

constexpr std::string_view kClaims = "@request.auth.claims";

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool IsRetryToken(std::string_view token) {
  static const std::set<std::string_view> kTokens = {"5xx",
                                                     "gateway-error",
                                                     "reset",
                                                     "reset-before-request",
                                                     "connect-failure",
                                                     "retriable-4xx",
                                                     "refused-stream",
                                                     "retriable-status-codes",
                                                     "retriable-headers",
                                                     "envoy-ratelimited",
                                                     "http3-post-connect-failure",
                                                     "cancelled",
                                                     "deadline-exceeded",
                                                     "internal",
                                                     "resource-exhausted",
                                                     "unavailable"};
  if (kTokens.contains(token)) return true;
  int code = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), code);
  return error == std::errc() && end == token.data() + token.size() && code >= 100 && code < 600;
}

class HttpChecker : FieldChecker {
 public:
  HttpChecker(const api::VirtualService& object, bool for_mesh, std::vector<Issue>& issues)
      : FieldChecker(issues), issues_(issues), spec_(object.spec()), for_mesh_(for_mesh) {}

  void Run() {
    for (int i = 0; i < spec_.http_size(); ++i) {
      CheckRule(spec_.http(i), fmt::format("spec.http[{}]", i));
    }
    CheckReachable();
  }

 private:
  void CheckRule(const api::HttpRule& rule, const std::string& field) {
    for (int i = 0; i < rule.match_size(); ++i) {
      CheckHttpMatch(rule.match(i), fmt::format("{}.match[{}]", field, i));
    }
    CheckAction(rule, field);
    if (!rule.timeout().empty()) CheckDuration(rule.timeout(), field + ".timeout", true);
    if (rule.has_retries()) CheckRetries(rule.retries(), field + ".retries");
    if (rule.has_fault()) CheckFault(rule.fault(), field + ".fault");
    if (rule.has_cors_policy()) CheckCors(rule.cors_policy(), field + ".corsPolicy");
    if (rule.has_rewrite()) CheckRewrite(rule.rewrite(), field + ".rewrite");
    CheckHeaderRules(rule.headers(), field + ".headers");
    CheckMirrors(rule, field);
  }

  void CheckHttpMatch(const api::HttpMatch& match, const std::string& field) {
    const auto check = [&](bool has, const api::StringMatch& value, const char* name) {
      if (has) CheckMatch(value, field + "." + name);
    };
    check(match.has_uri(), match.uri(), "uri");
    check(match.has_method(), match.method(), "method");
    check(match.has_scheme(), match.scheme(), "scheme");
    check(match.has_authority(), match.authority(), "authority");
    for (const auto& [name, value] : match.headers()) {
      CheckHeaderMatch(name, value, field + ".headers." + name);
    }
    for (const auto& [name, value] : match.without_headers()) {
      CheckHeaderMatch(name, value, field + ".withoutHeaders." + name);
    }
    for (const auto& [name, value] : match.query_params()) {
      CheckMatch(value, field + ".queryParams." + name, true);
    }
    if (match.port() != 0) CheckPort(match.port(), field + ".port");
    CheckLabels(match.source_labels(), field + ".sourceLabels");
    if (!match.source_namespace().empty()) {
      CheckNamespace(match.source_namespace(), field + ".sourceNamespace");
    }
  }

  void CheckHeaderMatch(const std::string& name, const api::StringMatch& value,
                        const std::string& field) {
    if (StartsWith(name, kClaims)) {
      if (for_mesh_) Error(field, "routing by JWT claims is for gateways alone");
    } else if (!IsHeaderName(StartsWith(name, ":") ? std::string_view(name).substr(1) : name)) {
      Error(field, fmt::format("\"{}\" is no header's name", name));
    }
    CheckMatch(value, field, true);
  }

  void CheckAction(const api::HttpRule& rule, const std::string& field) {
    const bool routed = !rule.route().empty();
    const auto excludes = [&](bool has, std::string_view a, std::string_view b) {
      if (has) Error(field + "." + std::string(b), fmt::format("not beside {}", a));
    };
    if (rule.has_delegate()) {
      if (spec_.hosts().empty()) Error(field + ".delegate", "a delegate must not delegate");
      excludes(routed, "delegate", "route");
      excludes(rule.has_redirect(), "delegate", "redirect");
      excludes(rule.has_direct_response(), "delegate", "directResponse");
      if (!rule.delegate().name().empty() && !IsDomain(rule.delegate().name())) {
        Error(field + ".delegate.name", fmt::format("\"{}\" is no name", rule.delegate().name()));
      }
      return;
    }
    if (rule.has_redirect()) {
      excludes(routed, "redirect", "route");
      excludes(rule.has_fault(), "redirect", "fault");
      excludes(rule.has_rewrite(), "redirect", "rewrite");
      excludes(rule.has_direct_response(), "redirect", "directResponse");
      CheckRedirect(rule, field + ".redirect");
    } else if (rule.has_direct_response()) {
      excludes(routed, "directResponse", "route");
      excludes(rule.has_fault(), "directResponse", "fault");
      excludes(rule.has_rewrite(), "directResponse", "rewrite");
      CheckDirect(rule.direct_response(), field + ".directResponse");
    } else if (!routed) {
      Error(field, "one of route, redirect, directResponse and delegate is required");
    }
    CheckRoute(rule, field);
  }

  void CheckRoute(const api::HttpRule& rule, const std::string& field) {
    int64_t sum = 0;
    for (int i = 0; i < rule.route_size(); ++i) {
      const std::string at = fmt::format("{}.route[{}]", field, i);
      ValidateDestination(rule.route(i).destination(), at + ".destination", issues_);
      CheckHeaderRules(rule.route(i).headers(), at + ".headers");
      if (rule.route(i).weight() < 0) Error(at + ".weight", "must not be negative");
      sum += rule.route(i).weight();
    }
    if (rule.route_size() > 1 && sum == 0) Error(field + ".route", "the sum of weights is 0");
  }

  void CheckRedirect(const api::HttpRule& rule, const std::string& field) {
    const api::HttpRedirect& redirect = rule.redirect();
    if (redirect.has_prefix_rewrite()) {
      if (!redirect.uri().empty()) Error(field + ".prefixRewrite", "not beside uri");
      bool prefixes = !rule.match().empty();
      for (const api::HttpMatch& match : rule.match()) prefixes &= match.uri().has_prefix();
      if (!prefixes) Error(field + ".prefixRewrite", "every match must be of a uri prefix");
    }
    if (redirect.has_port()) CheckPort(redirect.port(), field + ".port");
    if (redirect.has_port() && redirect.has_derive_port()) {
      Error(field + ".derivePort", "not beside port");
    }
    const std::string& scheme = redirect.scheme();
    if (!scheme.empty() && scheme != "http" && scheme != "https") {
      Error(field + ".scheme", fmt::format("must be http or https, not \"{}\"", scheme));
    }
    if (redirect.uri().empty() && redirect.authority().empty() && scheme.empty() &&
        !redirect.has_port() && !redirect.has_derive_port() && !redirect.has_prefix_rewrite()) {
      Error(field, "must specify uri, authority, scheme or port");
    }
    constexpr std::array<uint32_t, 6> kCodes = {0, 301, 302, 303, 307, 308};
    if (std::find(kCodes.begin(), kCodes.end(), redirect.redirect_code()) == kCodes.end()) {
      Error(field + ".redirectCode",
            fmt::format("must be 301, 302, 303, 307 or 308, not {}", redirect.redirect_code()));
    }
  }

  void CheckDirect(const api::HttpDirectResponse& direct, const std::string& field) {
    constexpr size_t kMaxBody = 1 << 20;
    constexpr size_t kLargeBody = 100 << 10;
    if (direct.status() < 200 || direct.status() > 599) {
      Error(field + ".status", fmt::format("must be between 200 and 599, not {}", direct.status()));
    }
    const api::HttpBody& body = direct.body();
    if (body.has_string() && body.has_bytes()) Error(field + ".body", "string or bytes, not both");
    std::string decoded = body.string();
    if (body.has_bytes() && !absl::Base64Unescape(body.bytes(), &decoded)) {
      Error(field + ".body.bytes", "is no base64");
    }
    if (decoded.size() > kMaxBody) Error(field + ".body", "larger than 1 MiB");
    if (decoded.size() > kLargeBody) Warn(field + ".body", "larger than 100 KiB");
  }

  void CheckRewrite(const api::HttpRewrite& rewrite, const std::string& field) {
    if (!rewrite.has_uri_regex_rewrite()) {
      if (rewrite.uri().empty() && rewrite.authority().empty()) {
        Error(field, "must specify uri, authority or uriRegexRewrite");
      }
      return;
    }
    const api::RegexRewrite& regex = rewrite.uri_regex_rewrite();
    if (!rewrite.uri().empty()) Error(field + ".uriRegexRewrite", "not beside uri");
    if (regex.match().empty() || regex.rewrite().empty()) {
      Error(field + ".uriRegexRewrite", "needs match and rewrite");
    }
    CheckRegex(regex.match(), field + ".uriRegexRewrite.match");
  }

  void CheckRetries(const api::HttpRetry& retries, const std::string& field) {
    if (retries.attempts() < 0) Error(field + ".attempts", "must not be negative");
    if (retries.attempts() == 0 && retries.ByteSizeLong() != 0) {
      Error(field, "with attempts 0 nothing else may be set");
    }
    if (!retries.per_try_timeout().empty()) {
      CheckDuration(retries.per_try_timeout(), field + ".perTryTimeout");
    }
    if (!retries.backoff().empty()) CheckDuration(retries.backoff(), field + ".backoff");
    std::string_view rest = retries.retry_on();
    while (!rest.empty()) {
      const size_t comma = rest.find(',');
      const std::string_view token = rest.substr(0, comma);
      if (!IsRetryToken(token)) {
        Error(field + ".retryOn", fmt::format("\"{}\" is no condition of retries", token));
      }
      rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
    }
  }

  void CheckFault(const api::HttpFault& fault, const std::string& field) {
    if (!fault.has_delay() && !fault.has_abort()) Error(field, "must have an abort or a delay");
    if (fault.has_delay()) CheckDelay(fault.delay(), field + ".delay");
    if (fault.has_abort()) CheckAbort(fault.abort(), field + ".abort");
  }

  void CheckDelay(const api::FaultDelay& delay, const std::string& field) {
    if (delay.has_exponential_delay()) Error(field + ".exponentialDelay", "is not supported");
    if (!delay.has_fixed_delay()) {
      Error(field + ".fixedDelay", "required");
    } else {
      CheckDuration(delay.fixed_delay(), field + ".fixedDelay");
    }
    if (delay.has_percentage()) {
      CheckPercent(delay.percentage().value(), field + ".percentage.value");
    }
    if (delay.percent() < 0 || delay.percent() > 100) {
      Error(field + ".percent", fmt::format("must be between 0 and 100, not {}", delay.percent()));
    }
  }

  void CheckAbort(const api::FaultAbort& abort, const std::string& field) {
    const int kinds = abort.has_http_status() + abort.has_grpc_status() + abort.has_http2_error();
    if (kinds > 1) Error(field, "one of httpStatus and grpcStatus");
    if (kinds == 0) Warn(field, "without httpStatus and grpcStatus nothing is aborted");
    if (abort.has_http2_error()) Error(field + ".http2Error", "is not supported");
    if (abort.has_http_status() && (abort.http_status() < 200 || abort.http_status() > 599)) {
      Error(field + ".httpStatus",
            fmt::format("must be between 200 and 599, not {}", abort.http_status()));
    }
    if (abort.has_grpc_status() && !GrpcStatusNamed(abort.grpc_status())) {
      Error(field + ".grpcStatus",
            fmt::format("\"{}\" is no name of a gRPC status (NOT_FOUND)", abort.grpc_status()));
    }
    CheckPercent(abort.percentage().value(), field + ".percentage.value");
  }

  void CheckCors(const api::CorsPolicy& cors, const std::string& field) {
    static const std::set<std::string> kMethods = {"GET",     "HEAD",    "POST",  "PUT",   "DELETE",
                                                   "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"};
    for (int i = 0; i < cors.allow_origins_size(); ++i) {
      CheckMatch(cors.allow_origins(i), fmt::format("{}.allowOrigins[{}]", field, i));
    }
    for (int i = 0; i < cors.allow_methods_size(); ++i) {
      if (kMethods.contains(cors.allow_methods(i))) continue;
      Error(fmt::format("{}.allowMethods[{}]", field, i),
            fmt::format("\"{}\" is no method of HTTP", cors.allow_methods(i)));
    }
    const auto names = [&](const Strings& values, const char* list) {
      for (int i = 0; i < values.size(); ++i) {
        if (IsHeaderName(values[i]) || values[i] == "*") continue;
        Error(fmt::format("{}.{}[{}]", field, list, i),
              fmt::format("\"{}\" is no header's name", values[i]));
      }
    };
    names(cors.allow_headers(), "allowHeaders");
    names(cors.expose_headers(), "exposeHeaders");
    if (cors.max_age().empty()) return;
    CheckDuration(cors.max_age(), field + ".maxAge", true);
    const auto age = ParseDuration(cors.max_age());
    if (age && *age % absl::Seconds(1) != absl::ZeroDuration()) {
      Error(field + ".maxAge", fmt::format("must be whole seconds, not {}", cors.max_age()));
    }
  }

  void CheckMirrors(const api::HttpRule& rule, const std::string& field) {
    if (rule.has_mirror()) {
      ValidateDestination(rule.mirror(), field + ".mirror", issues_);
      if (!rule.mirrors().empty()) Error(field + ".mirrors", "not beside mirror");
    }
    const auto percent = [&](double value, const std::string& at) {
      if (!(value >= 0 && value <= 100)) {
        Error(at, fmt::format("must be between 0 and 100, not {}", value));
      }
    };
    percent(rule.mirror_percentage().value(), field + ".mirrorPercentage.value");
    percent(rule.mirror_percent(), field + ".mirrorPercent");
    if (rule.has_mirror_percent()) {
      Warn(field + ".mirrorPercent", "is deprecated: write mirrorPercentage");
    }
    for (int i = 0; i < rule.mirrors_size(); ++i) {
      const std::string at = fmt::format("{}.mirrors[{}]", field, i);
      ValidateDestination(rule.mirrors(i).destination(), at + ".destination", issues_);
      percent(rule.mirrors(i).percentage().value(), at + ".percentage.value");
    }
  }

  // What stands behind a rule that takes every request, or repeats matches of an earlier one.
  void CheckReachable() {
    std::set<std::string> seen;
    int catch_all = -1;
    for (int i = 0; i < spec_.http_size(); ++i) {
      const api::HttpRule& rule = spec_.http(i);
      const std::string field = fmt::format("spec.http[{}]", i);
      if (catch_all >= 0) {
        Warn(field, fmt::format("never used: spec.http[{}] takes every request", catch_all));
        continue;
      }
      int repeated = 0;
      for (int m = 0; m < rule.match_size(); ++m) {
        if (seen.insert(Deterministic(rule.match(m))).second) continue;
        ++repeated;
        Warn(fmt::format("{}.match[{}]", field, m), "never used: an earlier rule has the same");
      }
      if (repeated != 0 && repeated == rule.match_size()) {
        Warn(field, "never used: earlier rules have all of its matches");
      }
      if (rule.match().empty()) catch_all = i;
    }
  }

  static std::string Deterministic(api::HttpMatch match) {
    match.clear_name();
    match.clear_stat_prefix();
    return match.ShortDebugString();  // maps are printed in the order of their keys
  }

  std::vector<Issue>& issues_;
  const api::VirtualServiceSpec& spec_;
  const bool for_mesh_;
};

}  // namespace

void ValidateHttpRules(const api::VirtualService& object, bool for_mesh,
                       std::vector<Issue>& issues) {
  HttpChecker(object, for_mesh, issues).Run();
}

}  // namespace mesh::k8s

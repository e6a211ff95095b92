#include "agent/controller/l7/http_route.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>

#include <algorithm>

#include "agent/controller/l7/http_action.h"
#include "agent/controller/l7/http_match.h"
#include "agent/controller/l7/messages.h"

namespace mesh::controller {
namespace {

namespace l7 = mesh::l7::v1;

constexpr int kDefaultAttempts = 2;
constexpr char kDefaultRetryOn[] =
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

// Integers among the tokens are status codes, and imply the token that asks for them.
void AddRetryOn(const std::string& text, l7::Retry& out) {
  bool by_code = false;
  bool codes = false;
  std::vector<std::string> tokens = absl::StrSplit(text, ',', absl::SkipWhitespace());
  for (std::string& token : tokens) {
    absl::StripAsciiWhitespace(&token);
    uint32_t code = 0;
    if (absl::SimpleAtoi(token, &code)) {
      out.add_retriable_status_codes(code);
      codes = true;
      continue;
    }
    out.add_retry_on(token);
    by_code |= token == "retriable-status-codes";
  }
  if (codes && !by_code) out.add_retry_on("retriable-status-codes");
}

bool HashesRequests(const api::HttpRule& rule, const RouteContext& context) {
  for (const api::HttpDestination& to : rule.route()) {
    const std::string host =
        ExpandHost(to.destination().host(), context.rule_ns, context.settings.cluster_domain);
    const L7Service* service = context.directory.Find(host, context.rule_ns);
    if (service == nullptr) continue;
    const MergedRule* merged = context.destination_rules.For(context.client, *service);
    if (merged == nullptr) continue;
    const auto policy = PolicyFor(*merged, context.port, to.destination().subset());
    if (policy.load_balancer != nullptr && policy.load_balancer->has_consistent_hash()) return true;
  }
  return false;
}

void TranslateRetry(const api::HttpRule& rule, const RouteContext& context, l7::Forward& out) {
  const api::HttpRetry& retries = rule.retries();
  const int attempts = rule.has_retries() ? retries.attempts() : kDefaultAttempts;
  if (attempts <= 0) return;
  l7::Retry& retry = *out.mutable_retry();
  retry.set_attempts(static_cast<uint32_t>(attempts));
  google::protobuf::Duration duration;
  if (ReadDuration(retries.per_try_timeout(), duration)) {
    *retry.mutable_per_try_timeout() = duration;
  }
  AddRetryOn(retries.retry_on().empty() ? kDefaultRetryOn : retries.retry_on(), retry);
  if (ReadDuration(retries.backoff(), duration)) {
    *retry.mutable_back_off()->mutable_base() = duration;
    const absl::Duration most =
        (absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos())) * 10;
    SetDuration(most, *retry.mutable_back_off()->mutable_max());
  }
  retry.set_avoid_previous_hosts(retries.has_retry_ignore_previous_hosts()
                                     ? retries.retry_ignore_previous_hosts()
                                     : !HashesRequests(rule, context));
  retry.set_remote_localities(retries.retry_remote_localities());
}

bool IsAuthority(std::string_view name) {
  return name == ":authority" || absl::EqualsIgnoreCase({name.data(), name.size()}, "host");
}

// Host among the route's own operations is a rewrite, under the one that is called so.
void AddAuthority(const api::HttpRule& rule, l7::HeaderOps& headers, l7::Rewrite& rewrite) {
  std::string authority;
  const auto take = [&authority](auto* pairs) {
    for (int i = 0; i < pairs->size(); ++i) {
      if (!IsAuthority(pairs->Get(i).name())) continue;
      if (authority.empty()) authority = pairs->Get(i).value();
      pairs->DeleteSubrange(i--, 1);
    }
  };
  take(headers.mutable_set());
  take(headers.mutable_add());
  if (!rule.rewrite().authority().empty()) authority = rule.rewrite().authority();
  rewrite.set_authority(authority);
}

void TranslateRewrite(const api::HttpRewrite& rewrite, l7::Rewrite& out) {
  if (!rewrite.uri().empty()) {
    out.set_prefix(rewrite.uri());
  } else if (rewrite.has_uri_regex_rewrite()) {
    out.mutable_regex()->set_match(rewrite.uri_regex_rewrite().match());
    out.mutable_regex()->set_substitution(rewrite.uri_regex_rewrite().rewrite());
  }
}

void AddBackends(const api::HttpRule& rule, const RouteContext& context, l7::Forward& out) {
  const bool weighted = rule.route_size() > 1;
  for (const api::HttpDestination& to : rule.route()) {
    if (weighted && to.weight() <= 0) continue;
    l7::Forward::Backend& backend = *out.add_backends();
    backend.set_cluster(ClusterOf(to.destination(), context));
    backend.set_weight(to.weight() > 0 ? static_cast<uint32_t>(to.weight()) : 1);
    if (to.headers().has_request()) {
      *backend.mutable_request_headers() = TranslateHeaders(to.headers().request());
    }
    if (to.headers().has_response()) {
      *backend.mutable_response_headers() = TranslateHeaders(to.headers().response());
    }
  }
  out.set_backend_headers_first(weighted);
}

void AddMirrors(const api::HttpRule& rule, const RouteContext& context, l7::Forward& out) {
  const auto add = [&](const api::Destination& destination, double percent) {
    if (percent <= 0) return;
    l7::Mirror& mirror = *out.add_mirrors();
    mirror.set_cluster(ClusterOf(destination, context));
    *mirror.mutable_share() = ShareOf(percent);
  };
  if (rule.has_mirror()) {
    add(rule.mirror(), rule.has_mirror_percentage() ? rule.mirror_percentage().value()
                       : rule.has_mirror_percent()  ? rule.mirror_percent()
                                                    : 100);
  }
  for (const api::HttpMirror& mirror : rule.mirrors()) {
    add(mirror.destination(), mirror.has_percentage() ? mirror.percentage().value() : 100);
  }
}

void TranslateForward(const api::HttpRule& rule, const RouteContext& context, l7::Route& route) {
  l7::Forward& forward = *route.mutable_forward();
  AddBackends(rule, context, forward);
  AddMirrors(rule, context, forward);
  l7::Rewrite rewrite;
  TranslateRewrite(rule.rewrite(), rewrite);
  AddAuthority(rule, *route.mutable_request_headers(), rewrite);
  if (rewrite.ByteSizeLong() != 0) *forward.mutable_rewrite() = rewrite;
  google::protobuf::Duration timeout;
  if (ReadDuration(rule.timeout(), timeout) && (timeout.seconds() != 0 || timeout.nanos() != 0)) {
    *forward.mutable_timeout() = timeout;
  }
  TranslateRetry(rule, context, forward);
}

// False: no request of this port and these clients matches.
bool AddMatches(const api::HttpRule& rule, const RouteContext& context, l7::Route& route) {
  const auto add = [&](l7::RouteMatch match) {
    if (!NarrowClients(context, match.mutable_source_namespace(), match.mutable_source_labels())) {
      return;
    }
    for (const auto& [key, value] : match.source_labels()) context.label_keys.insert(key);
    *route.add_matches() = std::move(match);
  };
  for (const api::HttpMatch& match : rule.match()) {
    if (auto translated = TranslateHttpMatch(match, context.port)) add(*std::move(translated));
  }
  if (rule.match().empty() && !context.consumer_ns.empty()) add({});
  return rule.match().empty() || !route.matches().empty();
}

}  // namespace

std::string ClusterOf(const api::Destination& destination, const RouteContext& context) {
  ClusterRef ref;
  ref.host = ExpandHost(destination.host(), context.rule_ns, context.settings.cluster_domain);
  ref.port = destination.port().number();
  ref.subset = destination.subset();
  const L7Service* service = context.directory.Find(ref.host, context.rule_ns);
  if (ref.port == 0) {
    const bool only = service != nullptr && service->ports.size() == 1;
    ref.port = only ? service->ports.front().number : context.port;
  }
  if (service != nullptr) {
    ref.view = context.destination_rules.ViewOf(context.client, *service);
    if (context.directory.Find(ref.host, "") != service) ref.ns = service->ns();
  }
  context.clusters.insert(ref);
  return ref.Name();
}

std::optional<l7::Route> TranslateHttpRule(const api::HttpRule& rule, const std::string& origin,
                                           const RouteContext& context) {
  l7::Route route;
  if (!AddMatches(rule, context, route)) return std::nullopt;
  route.set_name(rule.name());
  route.set_origin(origin);
  if (rule.headers().has_request()) {
    *route.mutable_request_headers() = TranslateHeaders(rule.headers().request());
  }
  if (rule.headers().has_response()) {
    *route.mutable_response_headers() = TranslateHeaders(rule.headers().response());
  }
  if (rule.has_redirect()) {
    TranslateRedirect(rule.redirect(), *route.mutable_redirect());
  } else if (rule.has_direct_response()) {
    TranslateDirect(rule.direct_response(), *route.mutable_direct_response());
  } else {
    TranslateForward(rule, context, route);
  }
  if (route.request_headers().ByteSizeLong() == 0) route.clear_request_headers();
  if (rule.has_fault()) TranslateFault(rule.fault(), *route.mutable_fault());
  if (rule.has_cors_policy()) TranslateCors(rule.cors_policy(), *route.mutable_cors());
  return route;
}

bool NarrowClients(const RouteContext& context, std::string* source_namespace,
                   k8s::Labels* source_labels) {
  if (context.consumer_ns.empty()) return true;
  if (!source_namespace->empty() && *source_namespace != context.consumer_ns) return false;
  *source_namespace = context.consumer_ns;
  if (context.consumer_labels == nullptr) return true;
  for (const auto& [key, value] : *context.consumer_labels) {
    const auto own = source_labels->find(key);
    if (own != source_labels->end() && own->second != value) return false;
    (*source_labels)[key] = value;
  }
  return true;
}

bool TakesEverything(const l7::Route& route, const RouteContext& context) {
  const auto everything = [&context](l7::RouteMatch match) {
    match.clear_name();
    if (match.source_namespace() == context.consumer_ns) match.clear_source_namespace();
    const size_t asked = context.consumer_labels == nullptr ? 0 : context.consumer_labels->size();
    if (match.source_labels().size() == asked) match.clear_source_labels();  // they are among them
    const l7::PathMatch& path = match.path();
    if (path.present() || (path.has_prefix() && (path.prefix() == "/" || path.prefix().empty()))) {
      match.clear_path();
    }
    return match.ByteSizeLong() == 0;
  };
  return route.matches().empty() ||
         std::any_of(route.matches().begin(), route.matches().end(), everything);
}

l7::Route DefaultRoute(const L7Service& service, const RouteContext& context) {
  api::HttpRule rule;
  api::Destination& to = *rule.add_route()->mutable_destination();
  to.set_host(service.host);
  to.mutable_port()->set_number(context.port);
  rule.set_name("default");
  return *TranslateHttpRule(rule, "", context);
}

}  // namespace mesh::controller

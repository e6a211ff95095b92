#include <re2/re2.h>

#include <algorithm>

#include "ztunnel/waypoint/route/actions.h"
#include "ztunnel/waypoint/route/replace_path.h"

namespace mesh::route {
namespace {

void ApplyLevel(const HeaderOps& ops, const Facts& facts, http::RequestHead& head) {
  Apply(ops, facts, head.headers);
  if (!ops.authority) return;
  std::string authority = ops.authority->Text(facts, "");
  if (!authority.empty() && http::IsFieldValue(authority)) head.authority = std::move(authority);
}

std::string ReplaceRegex(const RegexRewrite& rewrite, std::string_view path) {
  std::string out(path);
  re2::RE2::GlobalReplace(&out, *rewrite.match, rewrite.substitution);
  return out;
}

std::string Rewritten(const Route& route, const Rewrite& rewrite, std::string_view path) {
  if (const auto* full = std::get_if<FullPath>(&rewrite.path)) return full->path;
  if (const auto* prefix = std::get_if<PrefixReplacement>(&rewrite.path))
    return ReplacePrefix(route.path, prefix->prefix, path);
  if (const auto* regex = std::get_if<RegexRewrite>(&rewrite.path))
    return ReplaceRegex(*regex, path);
  return std::string(path);
}

}  // namespace

std::string ReplacePrefix(const PathMatch& match, std::string_view with, std::string_view path) {
  const auto size = match.ReplacedPrefix();
  std::string out(with);
  if (size) {
    std::string_view rest = path.substr(std::min(*size, path.size()));
    const bool segments = match.kind() == PathMatch::Kind::kSegmentPrefix;
    if (segments && out.ends_with('/') && rest.starts_with('/')) rest.remove_prefix(1);
    out += rest;
  }
  if (!out.starts_with('/')) out.insert(out.begin(), '/');
  return out;
}

std::string WithQuery(std::string path, std::string_view query) {
  if (query.empty()) return path;
  path += path.find('?') == path.npos ? '?' : '&';
  path += query;
  return path;
}

std::optional<std::string> RewrittenTarget(const Route& route, std::string_view target) {
  const Forward* forward = route.forward();
  if (forward == nullptr || std::holds_alternative<std::monostate>(forward->rewrite.path))
    return std::nullopt;
  const size_t mark = target.find('?');
  const std::string_view path = target.substr(0, mark);
  if (!path.starts_with('/')) return std::nullopt;  // "*" of OPTIONS
  const std::string_view query = mark == target.npos ? "" : target.substr(mark + 1);
  std::string out = WithQuery(Rewritten(route, forward->rewrite, path), query);
  if (!out.starts_with('/')) out.insert(out.begin(), '/');
  if (out == target) return std::nullopt;
  return out;
}

void PrepareUpstream(const Route& route, const Backend& backend, const Facts& facts,
                     http::RequestHead& head) {
  const Forward* forward = route.forward();
  const bool backend_first = forward != nullptr && forward->backend_headers_first;
  const HeaderOps& first = backend_first ? backend.request_headers : route.request_headers;
  const HeaderOps& second = backend_first ? route.request_headers : backend.request_headers;
  ApplyLevel(first, facts, head);
  ApplyLevel(second, facts, head);
  if (forward != nullptr && forward->rewrite.authority)
    head.authority = *forward->rewrite.authority;
  if (auto target = RewrittenTarget(route, head.path)) {
    head.headers.Set("x-envoy-original-path", head.path);
    head.path = *std::move(target);
  }
}

void FinishResponse(const Route& route, const Backend* backend, const Facts& facts,
                    http::HeaderMap& headers) {
  const Forward* forward = route.forward();
  const bool backend_first = forward != nullptr && forward->backend_headers_first;
  if (backend != nullptr && backend_first) Apply(backend->response_headers, facts, headers);
  Apply(route.response_headers, facts, headers);
  if (backend != nullptr && !backend_first) Apply(backend->response_headers, facts, headers);
}

std::string ShadowAuthority(std::string_view authority) {
  const size_t colon = authority.rfind(':');
  const size_t bracket = authority.rfind(']');
  const bool has_port = colon != authority.npos && (bracket == authority.npos || colon > bracket);
  const size_t host_size = has_port ? colon : authority.size();
  std::string out(authority.substr(0, host_size));
  out += "-shadow";
  out += authority.substr(host_size);
  return out;
}

FaultDecision DecideFault(const Fault& fault, uint64_t random_delay, uint64_t random_abort) {
  FaultDecision out;
  if (fault.delay > absl::ZeroDuration() && fault.delay_share.Takes(random_delay))
    out.delay = fault.delay;
  if (!fault.abort_share.Takes(random_abort)) return out;
  out.abort_status = fault.abort_status;
  out.abort_grpc_status = fault.abort_grpc_status;
  return out;
}

}  // namespace mesh::route

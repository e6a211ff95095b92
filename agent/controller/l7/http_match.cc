#include "agent/controller/l7/http_match.h"

#include <map>

#include "agent/controller/l7/messages.h"

namespace mesh::controller {
namespace {

namespace l7 = mesh::l7::v1;
using Matches = google::protobuf::Map<std::string, api::StringMatch>;

l7::PathMatch TranslatePath(const api::StringMatch& uri, bool ignore_case) {
  l7::PathMatch out;
  if (uri.has_exact()) {
    out.set_exact(uri.exact());
  } else if (uri.has_prefix()) {
    out.set_prefix(uri.prefix());
  } else if (uri.has_regex() && uri.regex() != "*") {
    out.set_regex(uri.regex());
    return out;  // a regex says itself what case means
  } else {
    out.set_present(true);
  }
  out.set_ignore_case(ignore_case);
  return out;
}

// These have fields of their own; the map's form does nothing.
bool IsPseudo(std::string_view name) {
  return name == "uri" || name == "scheme" || name == "method" || name == "authority";
}

void AddHeaders(const Matches& headers, bool invert, l7::RouteMatch& out) {
  for (const auto& [name, match] :
       std::map<std::string, api::StringMatch>(headers.begin(), headers.end())) {
    if (IsPseudo(name)) continue;
    l7::NamedMatch& added = *out.add_headers();
    added.set_name(name);
    *added.mutable_match() = TranslateMatch(match);
    added.set_invert(invert);
  }
}

}  // namespace

std::optional<l7::RouteMatch> TranslateHttpMatch(const api::HttpMatch& match, uint32_t port) {
  if (match.port() != 0 && match.port() != port) return std::nullopt;
  if (!IsForMesh(match.gateways())) return std::nullopt;
  l7::RouteMatch out;
  out.set_name(match.name());
  if (match.has_uri()) *out.mutable_path() = TranslatePath(match.uri(), match.ignore_uri_case());
  if (match.has_method()) *out.mutable_method() = TranslateMatch(match.method());
  if (match.has_scheme()) *out.mutable_scheme() = TranslateMatch(match.scheme());
  if (match.has_authority()) *out.mutable_authority() = TranslateMatch(match.authority());
  AddHeaders(match.headers(), false, out);
  AddHeaders(match.without_headers(), true, out);
  for (const auto& [name, query] : std::map<std::string, api::StringMatch>(
           match.query_params().begin(), match.query_params().end())) {
    l7::NamedMatch& added = *out.add_query();
    added.set_name(name);
    *added.mutable_match() = TranslateMatch(query);
  }
  *out.mutable_source_labels() = match.source_labels();
  out.set_source_namespace(match.source_namespace());
  return out;
}

}  // namespace mesh::controller

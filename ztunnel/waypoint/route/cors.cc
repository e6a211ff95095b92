#include <fmt/format.h>

#include "ztunnel/waypoint/route/actions.h"

namespace mesh::route {
namespace {

bool AllowsOrigin(const Cors& cors, std::string_view origin) {
  for (const TextMatch& allowed : cors.allow_origins)
    if (allowed.Matches(std::string_view("*")) || allowed.Matches(origin)) return true;
  return false;
}

http::ResponseHead AnswerPreflight(const Cors& cors, const RequestView& request,
                                   std::string_view origin) {
  http::ResponseHead head;
  http::HeaderMap& headers = head.headers;
  headers.Add("access-control-allow-origin", origin);
  if (cors.allow_credentials) headers.Add("access-control-allow-credentials", "true");
  const auto method = request.headers.Find("access-control-request-method");
  if (cors.any_method && method)
    headers.Add("access-control-allow-methods", *method);
  else if (!cors.allow_methods.empty())
    headers.Add("access-control-allow-methods", cors.allow_methods);
  const auto wanted = request.headers.Joined("access-control-request-headers");
  if (cors.any_header && wanted)
    headers.Add("access-control-allow-headers", *wanted);
  else if (!cors.allow_headers.empty())
    headers.Add("access-control-allow-headers", cors.allow_headers);
  if (cors.max_age_seconds)
    headers.Add("access-control-max-age", fmt::format("{}", *cors.max_age_seconds));
  return head;
}

}  // namespace

bool IsPreflight(const RequestView& request) {
  return request.method == "OPTIONS" && request.headers.Has("origin") &&
         request.headers.Has("access-control-request-method");
}

CorsDecision CheckCors(const Cors& cors, const RequestView& request) {
  CorsDecision out;
  const auto origin = request.headers.Find("origin");
  if (!origin || origin->empty()) return out;
  out.origin_allowed = AllowsOrigin(cors, *origin);
  if (!IsPreflight(request)) return out;
  if (out.origin_allowed)
    out.answer = AnswerPreflight(cors, request, *origin);
  else if (cors.ignore_unmatched_preflights)
    out.answer = http::ResponseHead();
  return out;
}

void AddCorsHeaders(const Cors& cors, std::string_view origin, http::HeaderMap& headers) {
  headers.Set("access-control-allow-origin", origin);
  if (cors.allow_credentials) headers.Set("access-control-allow-credentials", "true");
  if (!cors.expose_headers.empty())
    headers.Set("access-control-expose-headers", cors.expose_headers);
}

}  // namespace mesh::route

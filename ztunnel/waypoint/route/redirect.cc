#include <fmt/format.h>

#include "ztunnel/waypoint/route/actions.h"
#include "ztunnel/waypoint/route/replace_path.h"

namespace mesh::route {
namespace {

struct HostPort {
  std::string_view host, port;  // port: empty or digits
};

HostPort Split(std::string_view authority) {
  const size_t colon = authority.rfind(':');
  const size_t bracket = authority.rfind(']');
  if (colon == authority.npos || (bracket != authority.npos && bracket > colon))
    return {authority, {}};
  return {authority.substr(0, colon), authority.substr(colon + 1)};
}

std::string_view DefaultPort(std::string_view scheme) { return scheme == "https" ? "443" : "80"; }

// What stands behind the host; empty when the scheme says it.
std::string PortOf(const Redirect& redirect, const RequestView& request, std::string_view scheme,
                   uint16_t service_port) {
  const std::string_view asked = Split(request.authority).port;
  std::string port;
  if (redirect.port) {
    port = fmt::format("{}", *redirect.port);
  } else if (redirect.port_of_request) {
    port = asked.empty() ? fmt::format("{}", service_port) : std::string(asked);
  } else if (!redirect.authority && scheme == request.scheme) {
    port = asked;  // same place: the port by which the client came
  }
  if (port == DefaultPort(scheme)) port.clear();
  return port;
}

std::string TargetOf(const Route& route, const Redirect& redirect, const RequestView& request) {
  if (const auto* full = std::get_if<FullPath>(&redirect.path)) {
    if (full->path.find('?') != full->path.npos) return full->path;
    return WithQuery(full->path, request.query);
  }
  if (const auto* prefix = std::get_if<PrefixReplacement>(&redirect.path))
    return WithQuery(ReplacePrefix(route.path, prefix->prefix, request.path), request.query);
  return std::string(request.target);
}

}  // namespace

http::ResponseHead RedirectResponse(const Route& route, const Redirect& redirect,
                                    const RequestView& request, uint16_t service_port) {
  const std::string scheme = redirect.scheme.value_or(std::string(request.scheme));
  // An authority of the route may bring its own port.
  const HostPort place = redirect.authority ? Split(*redirect.authority) : Split(request.authority);
  std::string port = PortOf(redirect, request, scheme, service_port);
  if (redirect.authority && !redirect.port && !place.port.empty()) port = place.port;
  http::ResponseHead head;
  head.status = redirect.code;
  head.headers.Add("location",
                   fmt::format("{}://{}{}{}{}", scheme, place.host, port.empty() ? "" : ":", port,
                               TargetOf(route, redirect, request)));
  return head;
}

}  // namespace mesh::route

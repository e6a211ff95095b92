// tls[] and tcp[] rules of a VirtualService, for one port of one service.
#pragma once

#include <optional>

#include "agent/controller/l7/http_route.h"

namespace mesh::controller {

// None: no connection of this port and these clients can match it.
std::optional<mesh::l7::v1::TcpRoute> TranslateTcpRule(const api::TcpRule& rule,
                                                       const std::string& origin,
                                                       const RouteContext& context);
std::optional<mesh::l7::v1::TlsRoute> TranslateTlsRule(const api::TlsRule& rule,
                                                       const std::string& origin,
                                                       const RouteContext& context);
// All endpoints of the service.
mesh::l7::v1::TcpRoute DefaultTcpRoute(const L7Service& service, const RouteContext& context);

}  // namespace mesh::controller

// AuthorizationPolicy -> istio.security.Authorization, with what the node proxy cannot enforce left
// out by Istio's rules, and the condition that tells the user. ALLOW never allows more for it; a
// DENY rule of which a part is HTTP alone denies nothing by that part, and the condition says so.
#pragma once

#include <optional>
#include <string>

#include "agent/controller/model/settings.h"
#include "proto/api/istio_security.pb.h"
#include "proto/authorization.pb.h"

namespace mesh::controller {

struct TranslatedPolicy {
  std::optional<istio::security::Authorization> authorization;  // none: not for node proxies
  // ZtunnelAccepted; none for policies with targets, which are for waypoints.
  std::optional<api::Condition> condition;
  bool needs_waypoint = false;  // selects workloads, and asks for more than a node proxy can check
};
TranslatedPolicy TranslateAuthorization(const api::AuthorizationPolicy& policy,
                                        const Settings& settings);

}  // namespace mesh::controller

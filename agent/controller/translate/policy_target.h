// AuthorizationPolicies with targets: what becomes of each target, as the condition
// WaypointAccepted.
#pragma once

#include <string>
#include <vector>

#include "agent/k8s/object.h"

namespace mesh::controller {

struct TargetResult {
  bool bound = false;
  std::string reason;   // Accepted, Invalid, TargetNotFound, AncestorNotBound
  std::string message;  // "bound to shop/gate"
};

bool HasTargets(const api::AuthorizationPolicy& policy);
std::vector<api::PolicyTargetReference> TargetsOf(const api::AuthorizationPolicy& policy);

// One target is told as it is. Of several, True when all are bound; else those that are not are
// named, and the reason is the first one's.
api::Condition WaypointAccepted(const api::AuthorizationPolicy& policy,
                                const std::vector<TargetResult>& results);

}  // namespace mesh::controller

#include "agent/controller/translate/policy_target.h"

namespace mesh::controller {

bool HasTargets(const api::AuthorizationPolicy& policy) {
  return policy.spec().has_target_ref() || !policy.spec().target_refs().empty();
}

std::vector<api::PolicyTargetReference> TargetsOf(const api::AuthorizationPolicy& policy) {
  std::vector<api::PolicyTargetReference> targets(policy.spec().target_refs().begin(),
                                                  policy.spec().target_refs().end());
  if (policy.spec().has_target_ref()) targets.push_back(policy.spec().target_ref());
  return targets;
}

api::Condition WaypointAccepted(const api::AuthorizationPolicy& policy,
                                const std::vector<TargetResult>& results) {
  api::Condition condition;
  condition.set_type("WaypointAccepted");
  condition.set_observed_generation(policy.metadata().generation());
  condition.set_status("True");
  condition.set_reason("Accepted");
  if (results.size() == 1) condition.set_message(results.front().message);
  std::string missed;
  for (const TargetResult& result : results) {
    if (result.bound) continue;
    if (missed.empty()) condition.set_reason(result.reason);
    missed += (missed.empty() ? "" : "; ") + result.message;
    condition.set_status("False");
  }
  if (!missed.empty()) condition.set_message(missed);
  return condition;
}

}  // namespace mesh::controller

#include "ztunnel/waypoint/filter/authz.h"

#include <fmt/format.h>

#include "proto/l7_policy.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/filter/authz_rule.h"

namespace mesh::filter {

class Policy {
 public:
  std::string ns, name;
  l7::v1::Policy::Action action = l7::v1::Policy::ALLOW;
  bool dry_run = false;
  std::string deny_everything;  // why
  std::vector<Rule> rules;
};

namespace {

using Action = l7::v1::Policy;

struct Found {
  const Policy* policy = nullptr;
  uint32_t rule = 0;
};

// The first rule that takes the request. For TCP a DENY rule is read without its HTTP attributes,
// and any other rule that has some is left out: what cannot be seen is never a reason to allow.
std::optional<uint32_t> FirstRule(const Policy& policy, const RequestAttributes& request) {
  const bool tcp = request.request == nullptr;
  for (uint32_t i = 0; i < policy.rules.size(); ++i) {
    const Rule& rule = policy.rules[i];
    if (tcp && rule.has_http && policy.action != Action::DENY) continue;
    if (rule.Accepts(request)) return i;
  }
  return std::nullopt;
}

Found FirstOf(const std::vector<const Policy*>& policies, const RequestAttributes& request) {
  for (const Policy* policy : policies) {
    if (!policy->deny_everything.empty()) return {policy, 0};
    if (const auto rule = FirstRule(*policy, request)) return {policy, *rule};
  }
  return {};
}

PolicyHit HitOf(const Found& found) {
  if (found.policy == nullptr) return {};
  return {found.policy->ns, found.policy->name, found.rule};
}

struct Outcome {
  bool allowed;
  Found by;
};

Outcome Decide(const std::vector<const Policy*>& deny, const std::vector<const Policy*>& allow,
               const RequestAttributes& request) {
  const Found denied = FirstOf(deny, request);
  if (denied.policy != nullptr) return {false, denied};
  if (allow.empty()) return {true, {}};
  const Found allowed = FirstOf(allow, request);
  return {allowed.policy != nullptr, allowed};
}

}  // namespace

absl::StatusOr<PolicyRef> CompilePolicy(const l7::v1::Policy& policy) {
  if (policy.name().empty()) return Invalid("name: empty");
  if (!Action::Action_IsValid(policy.action()))
    return Invalid("action: {}", static_cast<int>(policy.action()));
  auto out = std::make_shared<Policy>();
  out->ns = policy.namespace_();
  out->name = policy.name();
  out->action = policy.action();
  out->dry_run = policy.dry_run();
  out->deny_everything = policy.deny_everything();
  ASSIGN_OR_RETURN(out->rules, CompileRules(policy));
  return out;
}

PolicyRef MissingPolicy(std::string_view name) {
  auto out = std::make_shared<Policy>();
  const size_t slash = name.find('/');
  if (slash != name.npos) out->ns = name.substr(0, slash);
  out->name = slash == name.npos ? name : name.substr(slash + 1);
  out->action = Action::DENY;
  out->deny_everything = "the policy has not arrived";
  return out;
}

PolicySet::PolicySet(std::vector<PolicyRef> policies) : policies_(std::move(policies)) {
  for (const PolicyRef& policy : policies_) {
    const bool deny = policy->action == Action::DENY || !policy->deny_everything.empty();
    if (deny) {
      (policy->dry_run ? dry_deny_ : deny_).push_back(policy.get());
    } else if (policy->action == Action::ALLOW) {
      (policy->dry_run ? dry_allow_ : allow_).push_back(policy.get());
    } else if (!policy->dry_run) {
      audit_.push_back(policy.get());
    }
  }
}

Verdict Check(const PolicySet& set, const RequestAttributes& request) {
  Verdict out;
  const Outcome outcome = Decide(set.deny_, set.allow_, request);
  out.allowed = outcome.allowed;
  out.by = HitOf(outcome.by);
  if (!outcome.allowed && outcome.by.policy != nullptr)
    out.why = outcome.by.policy->deny_everything;
  for (const Policy* policy : set.audit_) {
    if (const auto rule = FirstRule(*policy, request))
      out.audited.push_back(HitOf({policy, *rule}));
  }
  if (!set.dry_deny_.empty() || !set.dry_allow_.empty()) {
    const Outcome dry = Decide(set.dry_deny_, set.dry_allow_, request);
    out.dry_run_denied = !dry.allowed;
    out.dry_run_by = HitOf(dry.by);
  }
  return out;
}

std::string Verdict::Detail() const {
  if (by.name.empty()) return "rbac_access_denied_matched_policy[none]";
  return fmt::format("rbac_access_denied_matched_policy[ns[{}]-policy[{}]-rule[{}]]", by.ns,
                     by.name, by.rule);
}

}  // namespace mesh::filter

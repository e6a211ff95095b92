// AuthorizationPolicies and PeerAuthentications.
#include <fmt/format.h>

#include "agent/controller/l7/policy.h"
#include "agent/controller/model/compiler.h"
#include "agent/controller/translate/authorization.h"
#include "agent/controller/translate/peer_authentication.h"
#include "agent/controller/translate/policy_target.h"

namespace mesh::controller {

using k8s::Key;
using k8s::Kind;

namespace {

// What becomes of a policy that selects workloads and needs HTTP.
api::Condition EnforcedAt(const WaypointRef& ref, const api::AuthorizationPolicy& policy) {
  api::Condition condition;
  condition.set_type("WaypointAccepted");
  condition.set_status("True");
  condition.set_reason("Accepted");
  condition.set_message(
      fmt::format("enforced at {} for the workloads that it selects, which let in nobody else",
                  ref.ToString()));
  std::string problem = UnenforceableIn(policy);
  if (policy.spec().action() == api::AuthorizationPolicySpec::CUSTOM) {
    problem = "there are no providers of CUSTOM decisions: what the rules match is denied";
  } else if (!problem.empty()) {
    problem += ": everything is denied";
  }
  if (!problem.empty()) {
    condition.set_reason("UnsupportedValue");
    condition.set_message(condition.message() + ". " + problem);
  }
  condition.set_observed_generation(policy.metadata().generation());
  return condition;
}

}  // namespace

std::vector<std::string> Compiler::PolicyKeysFor(const std::string& ns,
                                                 const k8s::Labels& labels) const {
  std::set<std::string> keys;
  for (const std::string& space : {settings_.root_namespace, ns}) {
    for (const std::string& name : store_.policy_selectors.Matching(space, labels)) {
      // Not those that are for waypoints, or not enforced.
      const std::string key = space + "/" + name;
      if (resources(ResourceType::kAuthorization).contains(key)) keys.insert(key);
    }
  }
  std::vector<std::string> result(keys.begin(), keys.end());
  if (auto key = PeerAuthenticationKeyFor(store_.peer_authentications, ns, labels, settings_)) {
    result.push_back(*std::move(key));
  }
  return result;
}

TargetResult Compiler::ResolveTarget(const api::PolicyTargetReference& target,
                                     const std::string& ns) const {
  if (target.kind() == "GatewayClass") {
    if (ns != settings_.root_namespace) {
      return {false, "Invalid",
              fmt::format("AuthorizationPolicy must be in the root namespace `{}` when referencing "
                          "a GatewayClass",
                          settings_.root_namespace)};
    }
    // The class of our own waypoints is there without an object.
    if (target.name() != "istio-waypoint" && store_.gateway_classes.count(target.name()) == 0) {
      return {false, "TargetNotFound", "not bound"};
    }
    return {true, "Accepted", "bound to " + target.name()};
  }
  if (target.kind() == "Gateway") {
    if (store_.Find(store_.gateways, ns, target.name()) == nullptr) {
      return {false, "TargetNotFound", "not bound"};
    }
    return {true, "Accepted", fmt::format("bound to {}/{}", ns, target.name())};
  }
  const api::ObjectMeta* meta = nullptr;
  if (target.kind() == "Service") {
    if (const auto service = store_.Find(store_.services, ns, target.name())) {
      meta = &service->metadata();
    }
  } else if (target.kind() == "ServiceEntry") {
    if (const auto entry = store_.Find(store_.service_entries, ns, target.name())) {
      meta = &entry->metadata();
    }
  } else {
    return {false, "Invalid", fmt::format("{} is no target of a policy", target.kind())};
  }
  const std::string what = fmt::format("{} {}/{}", target.kind(), ns, target.name());
  if (meta == nullptr) return {false, "TargetNotFound", what + " was not found"};
  const Key key{target.kind() == "Service" ? Kind::kService : Kind::kServiceEntry, ns,
                target.name()};
  const auto binding = BindService(key, *meta);
  if (!binding || !binding->address) {
    return {false, "AncestorNotBound", what + " is not bound to a waypoint"};
  }
  return {true, "Accepted", "bound to " + binding->ref.ToString()};
}

void Compiler::CompileAuthorization(const Key& key) {
  const auto policy = store_.Find(store_.policies, key.ns, key.name);
  if (policy == nullptr) {
    SetStatus(key, {});
    Produce(ResourceType::kPolicy, key, {});
    return Produce(ResourceType::kAuthorization, key, {});
  }
  TranslatedPolicy translated = TranslateAuthorization(*policy, settings_);
  ObjectStatus status;
  if (const auto enforcer = translated.needs_waypoint ? EnforcerFor(key.ns) : std::nullopt) {
    translated.authorization.reset();
    status.conditions.push_back(EnforcedAt(enforcer->ref, *policy));
  } else if (translated.condition) {
    status.conditions.push_back(*translated.condition);
  }
  if (HasTargets(*policy)) {
    std::vector<TargetResult> results;
    for (const auto& target : TargetsOf(*policy)) results.push_back(ResolveTarget(target, key.ns));
    status.conditions.push_back(WaypointAccepted(*policy, results));
  }
  SetStatus(key, std::move(status));
  std::vector<Resource> resources;
  if (translated.authorization) {
    resources.push_back(MakeResource(key.ns + "/" + key.name, *translated.authorization));
  }
  Produce(ResourceType::kAuthorization, key, std::move(resources));
  std::vector<Resource> policies;
  if (HasTargets(*policy) || settings_.selector_policies_at_waypoints) {
    policies.push_back(MakeResource(key.ns + "/" + key.name, TranslatePolicy(*policy, settings_)));
  }
  Produce(ResourceType::kPolicy, key, std::move(policies));
}

void Compiler::CompilePeerAuthentication(const Key& key) {
  std::vector<Resource> resources;
  for (const auto& policy : store_.peer_authentications) {
    if (policy->metadata().namespace_() != key.ns || policy->metadata().name() != key.name)
      continue;
    const bool parent =
        k8s::ParentFor(store_.peer_authentications, settings_.root_namespace, key.ns).strict;
    const auto authorization = TranslatePeerAuthentication(*policy, parent, settings_);
    if (!authorization) break;
    resources.push_back(MakeResource(key.ns + "/" + authorization->name(), *authorization));
  }
  Produce(ResourceType::kAuthorization, key, std::move(resources));
}

void Compiler::CompileStaticStrict() {
  // Produced by no object of its own: kept under a key that no object has.
  const Key key{Kind::kPeerAuthentication, "", ""};
  std::vector<Resource> resources;
  if (!store_.peer_authentications.empty()) {
    const auto authorization = StaticStrict(settings_);
    resources.push_back(
        MakeResource(authorization.namespace_() + "/" + authorization.name(), authorization));
  }
  Produce(ResourceType::kAuthorization, key, std::move(resources));
}

}  // namespace mesh::controller

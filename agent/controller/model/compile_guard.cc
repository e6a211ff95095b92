// Policies that select workloads, where a waypoint enforces them: what such a workload lists and is
// told, and the policies that let its waypoints in (and, where HTTP decides, nobody else).
#include <fmt/format.h>

#include "agent/controller/model/compiler.h"
#include "agent/controller/translate/authorization.h"
#include "agent/controller/translate/peer_authentication.h"
#include "agent/controller/translate/workload.h"

namespace mesh::controller {
namespace {

using k8s::Key;
using k8s::Kind;
namespace sec = istio::security;

// Kept under a key that no object has.
Key GuardsKey() { return {Kind::kAuthorizationPolicy, "", ""}; }

std::string NamesOf(const std::set<WaypointRef>& waypoints) {
  std::string names;
  for (const WaypointRef& ref : waypoints) names += "_" + ref.ns + "_" + ref.name;
  return names;
}

std::string OnlyFrom(const std::string& ns, const std::set<WaypointRef>& waypoints) {
  return ns + "/mesh_only_from_waypoint" + NamesOf(waypoints);
}

std::string LetIn(const std::string& ns, const std::set<WaypointRef>& waypoints) {
  return ns + "/mesh_let_in_waypoint" + NamesOf(waypoints);
}

Resource MakePolicy(const std::string& name, const std::set<WaypointRef>& waypoints, bool only,
                    const Settings& settings) {
  sec::Authorization out;
  const size_t slash = name.find('/');
  out.set_namespace_(name.substr(0, slash));
  out.set_name(name.substr(slash + 1));
  out.set_scope(sec::WORKLOAD_SELECTOR);
  out.set_action(only ? sec::DENY : sec::ALLOW);
  sec::Match& match = *out.add_groups()->add_rules()->add_matches();
  for (const WaypointRef& ref : waypoints) {
    sec::StringMatch& principal = only ? *match.add_not_principals() : *match.add_principals();
    principal.set_exact(IdentityOf(ref, settings));
  }
  return MakeResource(name, out);
}

}  // namespace

bool Compiler::HasHttpPolicy(const std::string& ns) const {
  const auto first = http_policies_.lower_bound(ns + "/");
  return first != http_policies_.end() && first->second->metadata().namespace_() == ns;
}

std::optional<Compiler::Enforcer> Compiler::EnforcerFor(const std::string& ns) const {
  if (!settings_.selector_policies_at_waypoints) return std::nullopt;
  const api::Namespace* space = store_.SpaceOf(ns);
  api::ObjectMeta meta;
  meta.set_namespace_(ns);
  const auto wish = WaypointWishOf(meta, {}, space);
  if (!wish && (!settings_.auto_waypoints || OptsOutOfWaypoints({}, space))) return std::nullopt;
  const WaypointRef ref = wish ? wish->ref : WaypointRef{ns, kAutoWaypoint};
  const auto gateway = store_.Find(store_.gateways, ref.ns, ref.name);
  if (gateway == nullptr && !wish && HasHttpPolicy(ns)) {  // it is being made
    api::Gateway coming;
    coming.mutable_metadata()->set_namespace_(ns);
    coming.mutable_metadata()->set_name(kAutoWaypoint);
    return Enforcer{ref, AddressOfWaypoint(coming, settings_)};
  }
  if (gateway == nullptr || gateway->spec().gateway_class_name() != kWaypointClass) {
    return std::nullopt;
  }
  if (ref.ns != ns && !BindWaypoint(WaypointWish{ref, false}, ns, TrafficType::kAny,
                                    {space, gateway.get(), store_.ClassOf(*gateway)}, settings_)
                           .address) {
    return std::nullopt;
  }
  return Enforcer{ref, AddressOfWaypoint(*gateway, settings_)};
}

std::optional<Compiler::Guard> Compiler::GuardOf(
    const std::string& ns, const k8s::Labels& labels,
    const std::set<WaypointRef>& service_waypoints) const {
  if (!settings_.selector_policies_at_waypoints ||
      !k8s::ValueOf(labels, k8s::kGatewayNameLabel).empty()) {
    return std::nullopt;
  }
  Guard guard{.waypoints = service_waypoints,
              .policies = {},
              .exclusive = false,
              .allow = false,
              .address = std::nullopt};
  for (const std::string& space : std::set<std::string>{settings_.root_namespace, ns}) {
    for (const auto& [name, policy] : store_.In(store_.policies, space)) {
      if (HasTargets(*policy) || !k8s::Matches(policy->spec().selector().match_labels(), labels)) {
        continue;
      }
      const std::string key = space + "/" + name;
      guard.policies.push_back(key);
      guard.exclusive |= http_policies_.contains(key);
      guard.allow |= policy->spec().action() == api::AuthorizationPolicySpec::ALLOW &&
                     resources(ResourceType::kAuthorization).contains(key);
    }
  }
  if (guard.policies.empty()) return std::nullopt;
  if (const auto enforcer = guard.exclusive ? EnforcerFor(ns) : std::nullopt) {
    guard.waypoints.insert(enforcer->ref);
    guard.address = enforcer->address;
  }
  if (guard.waypoints.empty()) return std::nullopt;
  return guard;
}

std::vector<std::string> Compiler::GuardedPolicies(const Key& key, const k8s::Labels& labels,
                                                   const std::set<WaypointRef>& service_waypoints,
                                                   istio::workload::Workload& out) {
  auto guard = GuardOf(key.ns, labels, service_waypoints);
  const auto before = guards_.find(key);
  if (before == guards_.end() ? guard.has_value() : !guard || *guard != before->second) {
    guards_dirty_ = true;
  }
  if (!guard) {
    DropGuard(key);
    return PolicyKeysFor(key.ns, labels);
  }
  std::vector<std::string> keys;
  if (guard->exclusive) {
    keys.push_back(OnlyFrom(key.ns, guard->waypoints));
    if (auto peer =
            PeerAuthenticationKeyFor(store_.peer_authentications, key.ns, labels, settings_)) {
      keys.push_back(*std::move(peer));
    }
    // Without a waypoint of the namespace, traffic to the workload itself is let in from nobody.
    if (guard->address) *out.mutable_waypoint() = *guard->address;
  } else {
    keys = PolicyKeysFor(key.ns, labels);
  }
  // A namespace's own ALLOW policies hold at the workload too.
  if (guard->allow) keys.push_back(LetIn(key.ns, guard->waypoints));
  l7_dirty_ |= guards_.empty();
  guards_[key] = *std::move(guard);
  return keys;
}

void Compiler::CompileGuards() {
  guards_dirty_ = false;
  std::map<std::string, Resource> made;
  for (const auto& [key, guard] : guards_) {
    if (guard.exclusive) {
      const std::string name = OnlyFrom(key.ns, guard.waypoints);
      if (!made.contains(name)) made[name] = MakePolicy(name, guard.waypoints, true, settings_);
    }
    if (guard.allow) {
      const std::string name = LetIn(key.ns, guard.waypoints);
      if (!made.contains(name)) made[name] = MakePolicy(name, guard.waypoints, false, settings_);
    }
  }
  std::vector<Resource> resources;
  for (auto& [name, resource] : made) resources.push_back(std::move(resource));
  Produce(ResourceType::kAuthorization, GuardsKey(), std::move(resources));
}

void Compiler::DropGuard(const Key& key) {
  if (guards_.erase(key) == 0) return;
  guards_dirty_ = true;
  l7_dirty_ |= guards_.empty();
}

std::set<WaypointRef> Compiler::WaypointsOf(const istio::workload::Workload& workload) const {
  std::set<WaypointRef> waypoints;
  for (const auto& [name, ports] : workload.services()) {
    const size_t slash = name.find('/');
    const L7Service* service = l7_services_.Find(name.substr(slash + 1), name.substr(0, slash));
    if (service != nullptr && service->waypoint) waypoints.insert(*service->waypoint);
  }
  return waypoints;
}

}  // namespace mesh::controller

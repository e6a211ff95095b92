// Waypoints as objects: who needs one that nobody made, what belongs to one, and its status.
#include <fmt/format.h>

#include "agent/controller/l7/needs.h"
#include "agent/controller/model/compiler.h"
#include "agent/controller/translate/authorization.h"
#include "agent/controller/translate/service.h"
#include "agent/controller/translate/service_entry.h"
#include "agent/k8s/json.h"

namespace mesh::controller {
namespace {

using k8s::Child;
using k8s::Json;
using k8s::Key;
using k8s::Kind;
using k8s::Set;

constexpr uint32_t kHbonePort = 15008;
constexpr char kBecause[] = "local.mesh/because";

template <typename T>
bool MadeByUs(const std::shared_ptr<const T>& object) {
  return object != nullptr &&
         k8s::ValueOf(object->metadata().labels(), kManagedLabel) == kManagedByUs;
}

// Some pod may have the labels of both.
bool Compatible(const k8s::Labels& a, const k8s::Labels& b) {
  for (const auto& [key, value] : a) {
    const auto other = b.find(key);
    if (other != b.end() && other->second != value) return false;
  }
  return true;
}

Json NewObject(Kind kind, const std::string& ns, const std::string& name) {
  Json object;
  Set(object, "apiVersion", k8s::ApiVersionOf(kind));
  Set(object, "kind", k8s::NameOf(kind));
  Json& metadata = Child(object, "metadata");
  Set(metadata, "name", name);
  Set(metadata, "namespace", ns);
  Set(Child(metadata, "labels"), kManagedLabel, kManagedByUs);
  return object;
}

Json GatewayObject(const std::string& ns, const std::string& why) {
  Json object = NewObject(Kind::kGateway, ns, kAutoWaypoint);
  Set(Child(Child(object, "metadata"), "labels"), "istio.io/waypoint-for", "all");
  Set(Child(Child(object, "metadata"), "annotations"), kBecause, why);
  Json& spec = Child(object, "spec");
  Set(spec, "gatewayClassName", kWaypointClass);
  Json& listener = k8s::Append(Child(spec, "listeners"));
  Set(listener, "name", "mesh");
  Set(listener, "protocol", "HBONE");
  k8s::SetNumber(listener, "port", kHbonePort);
  return object;
}

Json ServiceObject(const std::string& ns, const std::string& gateway) {
  Json object = NewObject(Kind::kService, ns, gateway);
  Set(Child(Child(object, "metadata"), "labels"), k8s::kGatewayNameLabel, gateway);
  Json& spec = Child(object, "spec");
  Set(Child(spec, "selector"), k8s::kGatewayNameLabel, gateway);
  Json& port = k8s::Append(Child(spec, "ports"));
  Set(port, "name", "mesh");
  Set(port, "appProtocol", "tcp");
  k8s::SetNumber(port, "port", kHbonePort);
  k8s::SetNumber(port, "targetPort", kHbonePort);
  return object;
}

api::Condition MakeCondition(const api::Gateway& gateway, const char* type, bool is,
                             const char* reason, std::string message) {
  api::Condition condition;
  condition.set_type(type);
  condition.set_status(is ? "True" : "False");
  condition.set_reason(reason);
  condition.set_message(std::move(message));
  condition.set_observed_generation(gateway.metadata().generation());
  return condition;
}

bool IsReady(const api::Pod& pod) {
  if (!pod.metadata().deletion_timestamp().empty()) return false;
  for (const api::Condition& condition : pod.status().conditions()) {
    if (condition.type() == "Ready") return condition.status() == "True";
  }
  return false;
}

}  // namespace

// Policies that only a waypoint can enforce.
void Compiler::UpdateHttpPolicies() {
  http_policies_.clear();
  if (!settings_.selector_policies_at_waypoints) return;
  for (const auto& [ns, policies] : store_.policies) {
    for (const auto& [name, policy] : policies) {
      if (TranslateAuthorization(*policy, settings_).needs_waypoint) {
        http_policies_[ns + "/" + name] = policy;
      }
    }
  }
}

std::string Compiler::PolicyWhyFor(const Key& object, const k8s::Labels& selector) const {
  for (const auto& [key, policy] : http_policies_) {
    if (policy->metadata().namespace_() != object.ns || selector.empty()) continue;
    if (Compatible(policy->spec().selector().match_labels(), selector)) {
      return "AuthorizationPolicy " + key;
    }
  }
  for (const auto& [name, policy] : store_.In(store_.policies, object.ns)) {
    for (const api::PolicyTargetReference& target : TargetsOf(*policy)) {
      if (target.kind() == k8s::NameOf(object.kind) && target.name() == object.name) {
        return fmt::format("AuthorizationPolicy {}/{}", object.ns, name);
      }
    }
  }
  return "";
}

// Services that rules ask a waypoint for and that nobody gave one.
void Compiler::UpdateNeeds(Dirty& dirty) {
  needs_dirty_ = false;
  UpdateHttpPolicies();
  std::map<Key, std::string> needs;
  if (settings_.auto_waypoints) {
    L7Needs rules;
    for (const auto& [ns, named] : store_.virtual_services) {
      for (const auto& [name, rule] : named) rules.Add(*rule, settings_);
    }
    for (const auto& [ns, named] : store_.destination_rules) {
      for (const auto& [name, rule] : named) rules.Add(*rule, settings_);
    }
    const auto add = [&](const Key& key, const api::ObjectMeta& meta, std::string why) {
      const api::Namespace* space = store_.SpaceOf(key.ns);
      if (why.empty() || WaypointWishOf(meta, meta.labels(), space) ||
          OptsOutOfWaypoints(meta.labels(), space)) {
        return;
      }
      needs[key] = std::move(why);
    };
    for (const auto& [ns, named] : store_.services) {
      for (const auto& [name, service] : named) {
        const Key key{Kind::kService, ns, name};
        std::string why = rules.WhyFor(HostnameOf(*service, settings_));
        if (why.empty()) why = PolicyWhyFor(key, service->spec().selector());
        add(key, service->metadata(), std::move(why));
      }
    }
    for (const auto& [ns, named] : store_.service_entries) {
      for (const auto& [name, entry] : named) {
        const Key key{Kind::kServiceEntry, ns, name};
        std::string why = PolicyWhyFor(key, entry->spec().workload_selector().labels());
        for (const std::string& host : entry->spec().hosts()) {
          if (why.empty()) why = rules.WhyFor(host);
        }
        if (why.empty() && NeedsWaypoint(*entry)) why = "ServiceEntry " + ns + "/" + name;
        add(key, entry->metadata(), std::move(why));
      }
    }
  }
  const auto mark_new = [&](const std::map<Key, std::string>& some,
                            const std::map<Key, std::string>& others) {
    for (const auto& [key, why] : some) {
      if (others.contains(key)) continue;
      dirty.keys.insert(key);
      // Whom a workload lets in depends on the waypoints of its services.
      const auto service = store_.Find(store_.services, key.ns, key.name);
      if (key.kind == Kind::kService && service != nullptr) MarkService(*service, dirty);
    }
  };
  mark_new(needs, needs_);
  mark_new(needs_, needs);
  needs_ = std::move(needs);
}

void Compiler::MakeObjects() {
  std::map<Key, Json> wanted;
  const auto want = [&wanted](const Key& key, const Json& object) { wanted[key] = object; };
  std::map<std::string, std::string> namespaces;
  for (const auto& [key, why] : needs_) namespaces.emplace(key.ns, why);
  if (settings_.auto_waypoints) {  // pods that no service selects have policies too
    for (const auto& [key, policy] : http_policies_) {
      const std::string& ns = policy->metadata().namespace_();
      const bool told = WaypointWishOf(policy->metadata(), {}, store_.SpaceOf(ns)).has_value();
      const bool opted_out = OptsOutOfWaypoints({}, store_.SpaceOf(ns));
      if (ns != settings_.root_namespace && !told && !opted_out) {
        namespaces.emplace(ns, "AuthorizationPolicy " + key);
      }
    }
  }
  for (const auto& [ns, why] : namespaces) {
    const auto own = store_.Find(store_.gateways, ns, kAutoWaypoint);
    if (own == nullptr || MadeByUs(own)) {
      want({Kind::kGateway, ns, kAutoWaypoint}, GatewayObject(ns, why));
    }
  }
  for (const auto& [ns, named] : store_.gateways) {
    for (const auto& [name, gateway] : named) {
      if (!settings_.manage_waypoints || gateway->spec().gateway_class_name() != kWaypointClass ||
          (MadeByUs(gateway) && !namespaces.contains(ns))) {
        continue;
      }
      const auto service = store_.Find(store_.services, ns, name);
      if (service == nullptr || MadeByUs(service)) {
        want({Kind::kService, ns, name}, ServiceObject(ns, name));
      }
      const auto account = store_.Find(store_.service_accounts, ns, name);
      if (account == nullptr || MadeByUs(account)) {
        want({Kind::kServiceAccount, ns, name}, NewObject(Kind::kServiceAccount, ns, name));
      }
    }
  }
  std::map<Key, std::string> made;
  for (const auto& [key, object] : wanted) {
    made[key] = MakeResource("", object).version;  // as text the members have no order
    const auto before = made_.find(key);
    if (before == made_.end() || before->second != made[key]) {
      objects_[key] = k8s::ToText(object, true);
    }
  }
  for (const auto& [key, version] : made_) {
    if (!made.contains(key)) objects_[key] = "";
  }
  made_ = std::move(made);
}

std::map<Key, std::string> Compiler::TakeObjects() { return std::exchange(objects_, {}); }

ObjectStatus Compiler::StatusOf(const api::Gateway& gateway) const {
  ObjectStatus status;
  if (!settings_.manage_waypoints || gateway.spec().gateway_class_name() != kWaypointClass) {
    return status;
  }
  const api::ObjectMeta& meta = gateway.metadata();
  size_t ready = 0;
  size_t pods = 0;
  for (const auto& [name, pod] : store_.In(store_.pods, meta.namespace_())) {
    if (k8s::ValueOf(pod->metadata().labels(), k8s::kGatewayNameLabel) != meta.name()) continue;
    ++pods;
    ready += IsReady(*pod);
  }
  const std::string& because = k8s::ValueOf(meta.annotations(), kBecause);
  status.conditions.push_back(MakeCondition(
      gateway, "Accepted", true, "Accepted",
      because.empty() ? "is a waypoint of this mesh" : "was made because of " + because));
  status.conditions.push_back(MakeCondition(gateway, "Programmed", ready != 0,
                                            ready != 0 ? "Programmed" : "Pending",
                                            fmt::format("{} of {} pods are ready", ready, pods)));
  // Once told it stays: traffic waits for its waypoint and never goes around it.
  if (!gateway.status().addresses().empty()) {
    status.gateway_addresses.assign(gateway.status().addresses().begin(),
                                    gateway.status().addresses().end());
  } else if (ready != 0) {
    api::GatewayAddress& address = status.gateway_addresses.emplace_back();
    address.set_type("Hostname");
    address.set_value(AddressOfWaypoint(gateway, settings_).hostname().hostname());
  }
  return status;
}

}  // namespace mesh::controller

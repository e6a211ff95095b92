// What waypoints are told: frontends, clusters, authentication, telemetry, and what is known of
// workloads; and what became of the rules, as their status.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <tuple>

#include "agent/controller/l7/authentication.h"
#include "agent/controller/l7/cluster.h"
#include "agent/controller/l7/frontend.h"
#include "agent/controller/l7/http_match.h"
#include "agent/controller/l7/telemetry.h"
#include "agent/controller/model/compiler.h"
#include "agent/controller/translate/service_entry.h"
#include "agent/controller/translate/workload.h"

namespace mesh::controller {
namespace {

using k8s::Key;
using k8s::Kind;

// Produced by no object alone: kept under a key that no object has.
Key WholeKey() { return {Kind::kVirtualService, "", ""}; }

template <typename T>
std::vector<std::shared_ptr<const T>> Listed(const ObjectStore::ByNamespace<T>& all) {
  std::vector<std::shared_ptr<const T>> list;
  for (const auto& [ns, named] : all) {
    for (const auto& [name, object] : named) list.push_back(object);
  }
  return list;
}

// The service's own ports, and the subsets that its rule names, whether a route uses them or not:
// people look for them.
void AddOwnClusters(const L7Service& service, const L7Directory& directory,
                    const DestinationRules& rules, std::set<ClusterRef>& clusters) {
  ClusterRef ref{.host = service.host, .ns = "", .port = 0, .subset = "", .view = ""};
  if (directory.Find(service.host, "") != &service) ref.ns = service.ns();
  const MergedRule* rule = rules.For(service.ns(), service);
  for (const L7Port& port : service.ports) {
    ref.port = port.number;
    ref.subset.clear();
    clusters.insert(ref);
    if (rule == nullptr) continue;
    for (const api::Subset* subset : rule->subsets) {
      ref.subset = subset->name();
      clusters.insert(ref);
    }
  }
}

std::optional<mesh::l7::v1::Cluster> ClusterFor(const ClusterRef& ref, const L7Directory& directory,
                                                const DestinationRules& rules) {
  const L7Service* service = directory.Find(ref.host, ref.ns);
  if (service == nullptr) return std::nullopt;
  const MergedRule* rule = rules.For(ref.view.empty() ? service->ns() : ref.view, *service);
  for (const L7Port& port : service->ports) {
    if (port.number == ref.port) return TranslateCluster(*service, port, ref.subset, rule);
  }
  return std::nullopt;
}

template <typename T>
std::vector<api::PolicyTargetReference> TargetsIn(const T& object) {
  std::vector<api::PolicyTargetReference> targets(object.spec().target_refs().begin(),
                                                  object.spec().target_refs().end());
  if (object.spec().has_target_ref()) targets.push_back(object.spec().target_ref());
  return targets;
}

// The one of a namespace that is for everything in it: the oldest.
TelemetryRef WholeNamespace(const ObjectStore& store, const std::string& ns) {
  TelemetryRef oldest;
  const auto age = [](const TelemetryRef& object) {
    return std::tie(object->metadata().creation_timestamp(), object->metadata().name());
  };
  for (const auto& [name, object] : store.In(store.telemetries, ns)) {
    if (object->spec().has_selector() || !TargetsIn(*object).empty()) continue;
    if (oldest == nullptr || age(object) < age(oldest)) oldest = object;
  }
  return oldest;
}

std::string NameOfChain(const std::vector<TelemetryRef>& chain) {
  std::string name;
  for (const TelemetryRef& object : chain) {
    name += (name.empty() ? "" : "+") + object->metadata().namespace_() + "/" +
            object->metadata().name();
  }
  return name;
}

api::Condition Accepted(bool is, const char* reason, std::string message, int64_t generation) {
  api::Condition condition;
  condition.set_type("WaypointAccepted");
  condition.set_status(is ? "True" : "False");
  condition.set_reason(reason);
  condition.set_message(std::move(message));
  condition.set_observed_generation(generation);
  return condition;
}

// What of a policy does nothing here.
void NoteUnsupported(const api::TrafficPolicy& policy, const std::string& field,
                     std::vector<std::string>& out) {
  const auto note = [&out](const auto& blocks, const std::string& at) {
    if (blocks.load_balancer().has_zone_aware_lb_setting()) {
      out.push_back(at + ".loadBalancer.zoneAwareLbSetting does nothing");
    }
    const api::ClientTls& tls = blocks.tls();
    if (!tls.credential_name().empty() || !tls.ca_certificates().empty() ||
        !tls.client_certificate().empty()) {
      out.push_back(at + ".tls: certificates are not read, connections fail");
    }
  };
  note(policy, field);
  for (int i = 0; i < policy.port_level_settings_size(); ++i) {
    note(policy.port_level_settings(i), fmt::format("{}.portLevelSettings[{}]", field, i));
  }
  if (policy.has_tunnel()) out.push_back(field + ".tunnel does nothing");
}

}  // namespace

template <typename T>
bool Compiler::IsTargeted(const T& object, const L7Service& service) const {
  const std::string& ns = object.metadata().namespace_();
  for (const api::PolicyTargetReference& target : TargetsIn(object)) {
    const std::string& kind = target.kind();
    if (kind == "Gateway") {
      if (service.waypoint == WaypointRef{ns, target.name()}) return true;
    } else if (kind == "GatewayClass") {
      const auto gateway =
          store_.Find(store_.gateways, service.waypoint->ns, service.waypoint->name);
      if (ns == settings_.root_namespace && gateway != nullptr &&
          gateway->spec().gateway_class_name() == target.name()) {
        return true;
      }
    } else if (ns == service.ns() && kind == k8s::NameOf(service.object.kind) &&
               target.name() == service.object.name) {
      return true;
    }
  }
  return false;
}

template <typename T>
std::vector<std::string> Compiler::TargetingNames(const ObjectStore::ByNamespace<T>& all,
                                                  const L7Service& service) const {
  std::vector<std::string> names;
  for (const auto& [ns, named] : all) {
    for (const auto& [name, object] : named) {
      if (IsTargeted(*object, service)) names.push_back(ns + "/" + name);
    }
  }
  return names;
}

// By targets; and those that select all workloads of the service.
std::vector<std::string> Compiler::AuthenticationsOf(const L7Service& service) const {
  std::vector<std::string> names = TargetingNames(store_.request_authentications, service);
  if (!settings_.selector_policies_at_waypoints) return names;
  const auto object = store_.Find(store_.services, service.ns(), service.object.name);
  const bool is_service = service.object.kind == Kind::kService && object != nullptr;
  for (const std::string& ns : std::set<std::string>{settings_.root_namespace, service.ns()}) {
    for (const auto& [name, authentication] : store_.In(store_.request_authentications, ns)) {
      if (!TargetsIn(*authentication).empty()) continue;
      const auto& selector = authentication->spec().selector().match_labels();
      if (selector.empty() || (is_service && k8s::Matches(selector, object->spec().selector()))) {
        names.push_back(ns + "/" + name);
      }
    }
  }
  return names;
}

// Beyond what holds for the whole mesh; the widest first.
std::vector<TelemetryRef> Compiler::TelemetryChainOf(const L7Service& service) const {
  std::vector<TelemetryRef> chain;
  const std::string& root = settings_.root_namespace;
  for (const std::string& ns : {service.waypoint->ns, service.ns()}) {
    const TelemetryRef whole = ns == root ? nullptr : WholeNamespace(store_, ns);
    if (whole != nullptr && (chain.empty() || chain.back() != whole)) chain.push_back(whole);
  }
  std::vector<TelemetryRef> targeting;
  for (const auto& [ns, named] : store_.telemetries) {
    for (const auto& [name, object] : named) {
      if (!IsTargeted(*object, service)) continue;
      const bool gateway = TargetsIn(*object).front().kind().rfind("Gateway", 0) == 0;
      targeting.insert(gateway ? targeting.begin() : targeting.end(), object);
    }
  }
  chain.insert(chain.end(), targeting.begin(), targeting.end());
  return chain;
}

void Compiler::CompileL7() {
  l7_dirty_ = false;
  const bool was_in_use =
      std::exchange(l7_in_use_, l7_services_.behind_waypoints() != 0 || !guards_.empty());
  const VirtualServices virtual_services(Listed(store_.virtual_services), settings_);
  const DestinationRules destination_rules(Listed(store_.destination_rules), settings_);
  const std::set<std::string> labels = CompileL7Rules(virtual_services, destination_rules);
  TellL7Statuses(virtual_services);
  if (labels == l7_labels_ && was_in_use == l7_in_use_) return;
  l7_labels_ = labels;
  CompileAllPeers();
}

std::set<std::string> Compiler::CompileL7Rules(const VirtualServices& virtual_services,
                                               const DestinationRules& destination_rules) {
  std::vector<Resource> frontends;
  std::vector<Resource> clusters;
  std::map<std::string, Resource> telemetries;
  std::set<std::string> labels = {"app", "version"};
  labels.insert(destination_rules.subset_keys().begin(), destination_rules.subset_keys().end());
  std::vector<TelemetryRef> mesh_wide;
  if (const auto root = WholeNamespace(store_, settings_.root_namespace)) mesh_wide = {root};
  if (l7_in_use_) {
    telemetries["default"] = MakeResource("default", TranslateTelemetry(mesh_wide, settings_));
  }
  std::set<ClusterRef> refs;
  for (const auto& [object, services] : l7_services_.all()) {
    for (const L7Service& service : services) {
      if (!service.waypoint) continue;
      AddOwnClusters(service, l7_services_, destination_rules, refs);
      const auto policies = TargetingNames(store_.policies, service);
      const auto authentications = AuthenticationsOf(service);
      std::vector<TelemetryRef> chain = TelemetryChainOf(service);
      const std::string telemetry = NameOfChain(chain);
      if (!telemetry.empty() && !telemetries.contains(telemetry)) {
        chain.insert(chain.begin(), mesh_wide.begin(), mesh_wide.end());
        telemetries[telemetry] = MakeResource(telemetry, TranslateTelemetry(chain, settings_));
      }
      for (auto& frontend : TranslateFrontends(service, {settings_, l7_services_, virtual_services,
                                                         destination_rules, refs, labels})) {
        for (const std::string& name : policies) frontend.add_policies(name);
        for (const std::string& name : authentications) frontend.add_authentications(name);
        frontend.set_telemetry(telemetry);
        frontends.push_back(
            MakeResource(fmt::format("{}/{}", frontend.service(), frontend.port()), frontend));
        frontends.back().waypoints.push_back(service.waypoint->ToString());
      }
    }
  }
  for (const ClusterRef& ref : refs) {
    const auto cluster = ClusterFor(ref, l7_services_, destination_rules);
    if (cluster) clusters.push_back(MakeResource(ref.Name(), *cluster));
  }
  std::vector<Resource> told;
  for (auto& [name, resource] : telemetries) told.push_back(std::move(resource));
  Produce(ResourceType::kFrontend, WholeKey(), std::move(frontends));
  Produce(ResourceType::kCluster, WholeKey(), std::move(clusters));
  Produce(ResourceType::kTelemetry, WholeKey(), std::move(told));
  return labels;
}

// Which of the hosts a waypoint serves.
api::Condition Compiler::BoundHosts(const std::vector<std::string>& hosts,
                                    int64_t generation) const {
  std::set<std::string> bound;
  std::string unbound;
  for (const auto& [object, services] : l7_services_.all()) {
    for (const L7Service& service : services) {
      for (const std::string& host : hosts) {
        if (!CoversHost(host, service.host)) continue;
        if (service.waypoint) {
          bound.insert(service.waypoint->ToString());
        } else if (unbound.empty()) {
          unbound = service.Name();
        }
      }
    }
  }
  if (!bound.empty()) {
    return Accepted(true, "Accepted", fmt::format("bound to {}", fmt::join(bound, ", ")),
                    generation);
  }
  if (!unbound.empty()) {
    return Accepted(false, "AncestorNotBound",
                    fmt::format("service {} is not bound to a waypoint", unbound), generation);
  }
  return Accepted(false, "TargetNotFound",
                  fmt::format("no known service is called {}", fmt::join(hosts, ", ")), generation);
}

ObjectStatus Compiler::StatusOf(const api::VirtualService& rule,
                                const VirtualServices& virtual_services) const {
  ObjectStatus status;
  const api::ObjectMeta& meta = rule.metadata();
  if (IsDelegate(rule)) return status;  // its roots say
  if (!IsForMesh(rule.spec().gateways())) {
    status.conditions.push_back(Accepted(
        false, "NotForMesh", "is for gateways alone, and none is served here", meta.generation()));
    return status;
  }
  std::vector<std::string> hosts;
  for (const std::string& host : rule.spec().hosts()) {
    hosts.push_back(ExpandHost(host, meta.namespace_(), settings_.cluster_domain));
  }
  status.conditions.push_back(BoundHosts(hosts, meta.generation()));
  for (int i = 0; i < rule.spec().http_size(); ++i) {
    const api::HttpRule& http = rule.spec().http(i);
    if (!http.has_delegate() ||
        virtual_services.Delegated(http.delegate(), meta.namespace_()) != nullptr) {
      continue;
    }
    api::Condition& condition = status.conditions.back();
    condition.set_reason("DelegateNotFound");
    condition.set_message(
        fmt::format("{}. spec.http[{}].delegate: no such VirtualService, the rule "
                    "has no routes",
                    condition.message(), i));
  }
  return status;
}

ObjectStatus Compiler::StatusOf(const api::DestinationRule& rule) const {
  ObjectStatus status;
  const api::ObjectMeta& meta = rule.metadata();
  status.conditions.push_back(
      BoundHosts({ExpandHost(rule.spec().host(), meta.namespace_(), settings_.cluster_domain)},
                 meta.generation()));
  std::vector<std::string> unsupported;
  NoteUnsupported(rule.spec().traffic_policy(), "spec.trafficPolicy", unsupported);
  for (int i = 0; i < rule.spec().subsets_size(); ++i) {
    NoteUnsupported(rule.spec().subsets(i).traffic_policy(),
                    fmt::format("spec.subsets[{}].trafficPolicy", i), unsupported);
  }
  if (!unsupported.empty()) {
    api::Condition& condition = status.conditions.back();
    condition.set_reason("UnsupportedValue");
    condition.set_message(fmt::format("{}. {}", condition.message(), fmt::join(unsupported, "; ")));
  }
  return status;
}

void Compiler::TellL7Statuses(const VirtualServices& virtual_services) {
  std::set<Key> told;
  const auto tell = [&](Kind kind, const api::ObjectMeta& meta, ObjectStatus status) {
    const Key key{kind, meta.namespace_(), meta.name()};
    if (!status.empty()) told.insert(key);
    SetStatus(key, std::move(status));
  };
  for (const auto& rule : Listed(store_.virtual_services)) {
    tell(Kind::kVirtualService, rule->metadata(), StatusOf(*rule, virtual_services));
  }
  for (const auto& rule : Listed(store_.destination_rules)) {
    tell(Kind::kDestinationRule, rule->metadata(), StatusOf(*rule));
  }
  for (const Key& key : l7_told_) {
    if (!told.contains(key)) SetStatus(key, {});
  }
  l7_told_ = std::move(told);
}

void Compiler::CompileAuthentication(const Key& key) {
  const auto object = store_.Find(store_.request_authentications, key.ns, key.name);
  std::vector<Resource> resources;
  if (object != nullptr) {
    resources.push_back(MakeResource(key.ns + "/" + key.name, TranslateAuthentication(*object)));
  }
  Produce(ResourceType::kAuthentication, key, std::move(resources));
}

void Compiler::CompileAllPeers() {
  const auto compile = [this](Kind kind, const auto& all) {
    for (const auto& [ns, named] : all) {
      for (const auto& [name, object] : named) CompilePeers({kind, ns, name});
    }
  };
  compile(Kind::kPod, store_.pods);
  compile(Kind::kWorkloadEntry, store_.workload_entries);
  compile(Kind::kServiceEntry, store_.service_entries);
}

void Compiler::CompilePeers(const Key& key) {
  if (!l7_in_use_) return Produce(ResourceType::kPeer, key, {});
  std::vector<Resource> peers;
  const auto guard = guards_.find(key);
  const auto add = [&](const std::string& uid, const k8s::Labels& labels) {
    mesh::l7::v1::Peer peer;
    for (const std::string& name : l7_labels_) {
      const auto label = labels.find(name);
      if (label != labels.end()) (*peer.mutable_labels())[name] = label->second;
    }
    if (guard != guards_.end()) {
      for (const std::string& policy : guard->second.policies) peer.add_policies(policy);
    }
    if (peer.ByteSizeLong() != 0) peers.push_back(MakeResource(uid, peer));
  };
  if (key.kind == Kind::kPod) {
    const auto pod = store_.Find(store_.pods, key.ns, key.name);
    if (pod != nullptr && IsSent(*pod)) add(UidOf(*pod, settings_), pod->metadata().labels());
  } else if (key.kind == Kind::kWorkloadEntry) {
    const auto entry = store_.Find(store_.workload_entries, key.ns, key.name);
    if (entry != nullptr) add(UidOf(*entry, settings_), LabelsOf(*entry));
  } else if (const auto entry = store_.Find(store_.service_entries, key.ns, key.name)) {
    std::set<std::string> hosts;
    for (const std::string& host : entry->spec().hosts()) {
      if (OwnsHost(*entry, host)) hosts.insert(host);
    }
    for (const EntryEndpoint& endpoint : TranslateEndpoints(*entry, hosts, settings_)) {
      add(endpoint.workload.uid(), endpoint.labels);
    }
  }
  Produce(ResourceType::kPeer, key, std::move(peers));
}

}  // namespace mesh::controller

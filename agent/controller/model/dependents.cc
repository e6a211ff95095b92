// What depends on what: marks the objects that a change makes stale.
#include "agent/controller/model/compiler.h"
#include "agent/controller/translate/policy_target.h"
#include "agent/controller/translate/service.h"
#include "agent/controller/translate/service_entry.h"

namespace mesh::controller {
namespace {

using k8s::Key;
using k8s::Kind;

bool SameMap(const k8s::Labels& a, const k8s::Labels& b) {
  return a.size() == b.size() && k8s::Matches(a, b);
}

}  // namespace

void Compiler::MarkWorkloads(const std::string& ns, Dirty& dirty) const {
  const auto mark = [&](Kind kind, const auto& all) {
    for (const auto& [space, named] : all) {
      if (space != ns && ns != settings_.root_namespace) continue;
      for (const auto& [name, object] : named) dirty.keys.insert({kind, space, name});
    }
  };
  mark(Kind::kPod, store_.pods);
  mark(Kind::kWorkloadEntry, store_.workload_entries);
  mark(Kind::kServiceEntry, store_.service_entries);
}

void Compiler::MarkMatching(const std::string& ns, const k8s::Labels& selector,
                            Dirty& dirty) const {
  if (selector.empty()) return;
  for (const auto& [name, pod] : store_.In(store_.pods, ns)) {
    if (k8s::Matches(selector, pod->metadata().labels())) {
      dirty.keys.insert({Kind::kPod, ns, name});
    }
  }
  for (const auto& [name, entry] : store_.In(store_.workload_entries, ns)) {
    if (k8s::Matches(selector, LabelsOf(*entry))) {
      dirty.keys.insert({Kind::kWorkloadEntry, ns, name});
    }
  }
}

void Compiler::MarkGoverned(const std::string& ns, const k8s::Labels& selector,
                            Dirty& dirty) const {
  const bool all = ns == settings_.root_namespace;
  const auto mark = [&](Kind kind, const auto& objects, auto labels_of) {
    for (const auto& [space, named] : objects) {
      if (space != ns && !all) continue;
      for (const auto& [name, object] : named) {
        if (k8s::Matches(selector, labels_of(*object))) dirty.keys.insert({kind, space, name});
      }
    }
  };
  const auto own = [](const auto& object) -> const k8s::Labels& {
    return object.metadata().labels();
  };
  mark(Kind::kPod, store_.pods, own);
  mark(Kind::kServiceEntry, store_.service_entries, own);
  mark(Kind::kWorkloadEntry, store_.workload_entries,
       [](const api::WorkloadEntry& entry) { return LabelsOf(entry); });
}

void Compiler::MarkSlice(const api::EndpointSlice& slice, Dirty& dirty) const {
  dirty.keys.insert({Kind::kEndpointSlice, slice.metadata().namespace_(), slice.metadata().name()});
  for (const Key& pod : ObjectStore::PodsOf(slice)) {
    if (store_.Find(store_.pods, pod.ns, pod.name) != nullptr) dirty.keys.insert(pod);
  }
}

void Compiler::MarkNetwork(const api::Gateway& gateway, Dirty& dirty) const {
  const std::string& network =
      k8s::ValueOf(gateway.metadata().labels(), "topology.istio.io/network");
  if (network.empty()) return;
  for (const auto& [ns, entries] : store_.workload_entries) {
    for (const auto& [name, entry] : entries) {
      if (entry->spec().network() == network) {
        dirty.keys.insert({Kind::kWorkloadEntry, ns, name});
      }
    }
  }
  for (const auto& [ns, entries] : store_.service_entries) {
    for (const auto& [name, entry] : entries) {
      for (const api::WorkloadEntrySpec& endpoint : entry->spec().endpoints()) {
        if (endpoint.network() == network) dirty.keys.insert({Kind::kServiceEntry, ns, name});
      }
    }
  }
}

void Compiler::MarkService(const api::Service& service, Dirty& dirty) const {
  const std::string& ns = service.metadata().namespace_();
  MarkMatching(ns, service.spec().selector(), dirty);
  for (const auto& [name, slice] : store_.In(store_.slices, ns)) {
    if (k8s::ValueOf(slice->metadata().labels(), k8s::kServiceNameLabel) ==
        service.metadata().name()) {
      MarkSlice(*slice, dirty);
    }
  }
  MarkHost(HostnameOf(service, settings_), dirty);
}

void Compiler::MarkEntry(const api::ServiceEntry& entry, Dirty& dirty) const {
  const std::string& ns = entry.metadata().namespace_();
  dirty.keys.insert({Kind::kServiceEntry, ns, entry.metadata().name()});
  MarkMatching(ns, entry.spec().workload_selector().labels(), dirty);
}

void Compiler::MarkHost(const std::string& host, Dirty& dirty) const {
  const auto sharing = store_.entries_of_host.find(host);
  if (sharing == store_.entries_of_host.end()) return;
  for (const Key& key : sharing->second) {
    MarkEntry(*store_.Find(store_.service_entries, key.ns, key.name), dirty);
  }
}

void Compiler::MarkTargeting(const std::string& ns, Dirty& dirty) const {
  for (const auto& [space, policies] : store_.policies) {
    if (!ns.empty() && space != ns) continue;
    for (const auto& [name, policy] : policies) {
      if (HasTargets(*policy)) dirty.keys.insert({Kind::kAuthorizationPolicy, space, name});
    }
  }
}

void Compiler::MarkHttpPolicies(Dirty& dirty) const {
  for (const auto& [name, policy] : http_policies_) {
    const api::ObjectMeta& meta = policy->metadata();
    dirty.keys.insert({Kind::kAuthorizationPolicy, meta.namespace_(), meta.name()});
  }
}

void Compiler::MarkEverything(Dirty& dirty) const {
  const auto mark = [&dirty](Kind kind, const auto& all) {
    for (const auto& [ns, named] : all) {
      for (const auto& [name, object] : named) dirty.keys.insert({kind, ns, name});
    }
  };
  mark(Kind::kPod, store_.pods);
  mark(Kind::kService, store_.services);
  mark(Kind::kEndpointSlice, store_.slices);
  mark(Kind::kAuthorizationPolicy, store_.policies);
  mark(Kind::kServiceEntry, store_.service_entries);
  mark(Kind::kWorkloadEntry, store_.workload_entries);
  mark(Kind::kGateway, store_.gateways);
  mark(Kind::kRequestAuthentication, store_.request_authentications);
  for (const auto& policy : store_.peer_authentications) {
    dirty.keys.insert(
        {Kind::kPeerAuthentication, policy->metadata().namespace_(), policy->metadata().name()});
  }
  dirty.static_strict = true;
}

void Compiler::NoteNamespace(const k8s::Event& event, Dirty& dirty) {
  const Key& key = event.object.key();
  const api::Namespace* space = store_.SpaceOf(key.name);
  for (const auto& [name, service] : store_.In(store_.services, key.name)) {
    dirty.keys.insert({Kind::kService, key.name, name});
  }
  for (const auto& [name, entry] : store_.In(store_.service_entries, key.name)) {
    dirty.keys.insert({Kind::kServiceEntry, key.name, name});
  }
  needs_dirty_ = true;
  const bool same = !event.deleted && space != nullptr &&
                    SameMap(space->metadata().labels(), event.object.metadata().labels());
  if (same) return;
  for (const auto& [name, pod] : store_.In(store_.pods, key.name)) {
    dirty.keys.insert({Kind::kPod, key.name, name});
  }
  for (const auto& [name, entry] : store_.In(store_.workload_entries, key.name)) {
    dirty.keys.insert({Kind::kWorkloadEntry, key.name, name});
  }
  MarkTargeting(key.name, dirty);
  MarkHttpPolicies(dirty);
  if (key.name == flags_.system_namespace) dirty.everything = true;
}

// A gateway may be a waypoint (who wishes for it), a gateway of another network (workloads there),
// and have pods of its own.
void Compiler::NoteGateway(const Key& key, Dirty& dirty) const {
  dirty.keys.insert(key);
  MarkTargeting("", dirty);
  MarkHttpPolicies(dirty);
  if (key.name == kAutoWaypoint && settings_.auto_waypoints) {
    MarkWorkloads(key.ns, dirty);
    for (const auto& [service, why] : needs_) {
      if (service.ns == key.ns) dirty.keys.insert(service);
    }
  }
  const WaypointRef ref{key.ns, key.name};
  const auto mark = [&](Kind kind, const auto& all, auto labels_of) {
    for (const auto& [ns, named] : all) {
      for (const auto& [name, object] : named) {
        const auto wish =
            WaypointWishOf(object->metadata(), labels_of(*object), store_.SpaceOf(ns));
        if (wish && wish->ref == ref) dirty.keys.insert({kind, ns, name});
      }
    }
  };
  const auto own = [](const auto& object) { return object.metadata().labels(); };
  mark(Kind::kPod, store_.pods, own);
  mark(Kind::kService, store_.services, own);
  mark(Kind::kWorkloadEntry, store_.workload_entries,
       [](const api::WorkloadEntry& entry) { return LabelsOf(entry); });
  mark(Kind::kServiceEntry, store_.service_entries, own);
  // Endpoints have labels of their own, and the one that is the host itself has none.
  mark(Kind::kServiceEntry, store_.service_entries, [](const auto&) { return k8s::Labels(); });
  for (const auto& [ns, entries] : store_.service_entries) {
    for (const auto& [name, entry] : entries) {
      for (const api::WorkloadEntrySpec& endpoint : entry->spec().endpoints()) {
        const auto wish = WaypointWishOf(entry->metadata(), endpoint.labels(), store_.SpaceOf(ns));
        if (wish && wish->ref == ref) dirty.keys.insert({Kind::kServiceEntry, ns, name});
      }
    }
  }
  if (const auto gateway = store_.Find(store_.gateways, key.ns, key.name)) {
    MarkNetwork(*gateway, dirty);
  }
  for (const auto& [name, pod] : store_.In(store_.pods, key.ns)) {
    if (k8s::ValueOf(pod->metadata().labels(), k8s::kGatewayNameLabel) == key.name) {
      dirty.keys.insert({Kind::kPod, key.ns, name});
    }
  }
  if (!settings_.auto_allow_waypoint && !settings_.selector_policies_at_waypoints) return;
  for (const auto& [ns, services] : store_.services) {
    for (const auto& [name, service] : services) {
      if (dirty.keys.count({Kind::kService, ns, name}) != 0) MarkService(*service, dirty);
    }
  }
}

// Called before and after storing the event's object.
void Compiler::Note(const k8s::Event& event, Dirty& dirty) {
  const Key& key = event.object.key();
  switch (key.kind) {
    case Kind::kPod: {
      dirty.keys.insert(key);
      const auto pod = store_.Find(store_.pods, key.ns, key.name);
      if (pod == nullptr) break;
      const std::string& gateway = k8s::ValueOf(pod->metadata().labels(), k8s::kGatewayNameLabel);
      if (gateway.empty()) break;
      if (settings_.manage_waypoints) dirty.keys.insert({Kind::kGateway, key.ns, gateway});
      if (settings_.auto_allow_waypoint) NoteGateway({Kind::kGateway, key.ns, gateway}, dirty);
      break;
    }
    case Kind::kEndpointSlice:
      dirty.keys.insert(key);
      if (const auto slice = store_.Find(store_.slices, key.ns, key.name)) {
        MarkSlice(*slice, dirty);
      }
      break;
    case Kind::kWorkloadEntry:
    case Kind::kWorkloadGroup:
      dirty.keys.insert(key);
      break;
    case Kind::kService:
      dirty.keys.insert(key);
      needs_dirty_ = true;
      if (const auto service = store_.Find(store_.services, key.ns, key.name)) {
        MarkService(*service, dirty);
      }
      MarkTargeting(key.ns, dirty);
      break;
    case Kind::kServiceEntry:
      dirty.keys.insert(key);
      needs_dirty_ = true;
      if (const auto entry = store_.Find(store_.service_entries, key.ns, key.name)) {
        for (const std::string& host : entry->spec().hosts()) MarkHost(host, dirty);
      }
      MarkTargeting(key.ns, dirty);
      break;
    case Kind::kNode: {
      const auto node = store_.nodes.find(key.name);
      const bool same =
          !event.deleted && node != store_.nodes.end() &&
          SameMap(node->second->metadata().labels(), event.object.metadata().labels());
      if (same) break;
      if (const auto on = store_.pods_on.find(key.name); on != store_.pods_on.end()) {
        dirty.keys.insert(on->second.begin(), on->second.end());
      }
      break;
    }
    case Kind::kNamespace:
      NoteNamespace(event, dirty);
      break;
    case Kind::kGateway:
      NoteGateway(key, dirty);
      break;
    case Kind::kGatewayClass:
      dirty.everything = true;
      break;
    case Kind::kAuthorizationPolicy:
      dirty.keys.insert(key);
      l7_dirty_ = needs_dirty_ = true;
      if (const auto policy = store_.Find(store_.policies, key.ns, key.name);
          policy != nullptr && !HasTargets(*policy) &&
          (!policy->spec().selector().match_labels().empty() ||
           settings_.selector_policies_at_waypoints)) {
        MarkGoverned(key.ns, policy->spec().selector().match_labels(), dirty);
      }
      break;
    case Kind::kPeerAuthentication:
      dirty.keys.insert(key);
      dirty.static_strict = true;
      MarkWorkloads(key.ns, dirty);
      // A parent decides what a workload policy becomes.
      for (const auto& policy : store_.peer_authentications) {
        const std::string& ns = policy->metadata().namespace_();
        if (ns == key.ns || key.ns == settings_.root_namespace) {
          dirty.keys.insert({Kind::kPeerAuthentication, ns, policy->metadata().name()});
        }
      }
      break;
    case Kind::kVirtualService:
    case Kind::kDestinationRule:
      l7_dirty_ = needs_dirty_ = true;
      break;
    case Kind::kRequestAuthentication:
    case Kind::kTelemetry:
      dirty.keys.insert(key);
      l7_dirty_ = true;
      break;
    case Kind::kConfigMap:
      if (key.ns == flags_.system_namespace && key.name == "istio") dirty.everything = true;
      break;
    default:
      break;
  }
}

}  // namespace mesh::controller

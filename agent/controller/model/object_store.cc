#include "agent/controller/model/object_store.h"

namespace mesh::controller {
namespace {

template <typename K>
void Drop(std::map<K, std::set<k8s::Key>>& index, const K& of, const k8s::Key& key) {
  const auto it = index.find(of);
  if (it == index.end()) return;
  it->second.erase(key);
  if (it->second.empty()) index.erase(it);
}

template <typename T>
void Put(ObjectStore::Named<T>& named, const k8s::Event& event) {
  if (event.deleted) {
    named.erase(event.object.name());
  } else {
    named[event.object.name()] = event.object.Share<T>();
  }
}

template <typename T>
void Put(ObjectStore::ByNamespace<T>& all, const k8s::Event& event) {
  Put(all[event.object.ns()], event);
  if (all[event.object.ns()].empty()) all.erase(event.object.ns());
}

template <typename T>
size_t Count(const ObjectStore::ByNamespace<T>& all) {
  size_t count = 0;
  for (const auto& [ns, named] : all) count += named.size();
  return count;
}

}  // namespace

size_t ObjectStore::size() const {
  return namespaces.size() + nodes.size() + gateway_classes.size() + peer_authentications.size() +
         Count(pods) + Count(services) + Count(slices) + Count(policies) + Count(service_entries) +
         Count(workload_entries) + Count(workload_groups) + Count(gateways) +
         Count(virtual_services) + Count(destination_rules) + Count(request_authentications) +
         Count(telemetries);
}

const api::Namespace* ObjectStore::SpaceOf(const std::string& ns) const {
  const auto space = namespaces.find(ns);
  return space == namespaces.end() ? nullptr : space->second.get();
}

const api::GatewayClass* ObjectStore::ClassOf(const api::Gateway& gateway) const {
  const auto klass = gateway_classes.find(gateway.spec().gateway_class_name());
  return klass == gateway_classes.end() ? nullptr : klass->second.get();
}

std::set<k8s::Key> ObjectStore::PodsOf(const api::EndpointSlice& slice) {
  std::set<k8s::Key> pods;
  for (const api::Endpoint& endpoint : slice.endpoints()) {
    if (endpoint.target_ref().kind() != "Pod") continue;
    pods.insert({k8s::Kind::kPod, slice.metadata().namespace_(), endpoint.target_ref().name()});
  }
  return pods;
}

void ObjectStore::Store(const k8s::Event& event) {
  const k8s::Key& key = event.object.key();
  switch (key.kind) {
    case k8s::Kind::kNamespace:
      return Put(namespaces, event);
    case k8s::Kind::kNode:
      return Put(nodes, event);
    case k8s::Kind::kGatewayClass:
      return Put(gateway_classes, event);
    case k8s::Kind::kService:
      Put(services, event);
      service_selectors.Erase(key.ns, key.name);
      if (event.deleted) return;
      return service_selectors.Set(key.ns, key.name,
                                   event.object.As<api::Service>()->spec().selector());
    case k8s::Kind::kEndpointSlice:
      if (const auto old = Find(slices, key.ns, key.name)) {
        for (const k8s::Key& pod : PodsOf(*old)) Drop(slices_of_pod, pod, key);
      }
      Put(slices, event);
      if (event.deleted) return;
      for (const k8s::Key& pod : PodsOf(*event.object.As<api::EndpointSlice>())) {
        slices_of_pod[pod].insert(key);
      }
      return;
    case k8s::Kind::kAuthorizationPolicy:
      Put(policies, event);
      policy_selectors.Erase(key.ns, key.name);
      if (event.deleted) return;
      return policy_selectors.Set(
          key.ns, key.name,
          event.object.As<api::AuthorizationPolicy>()->spec().selector().match_labels());
    case k8s::Kind::kWorkloadEntry:
      return Put(workload_entries, event);
    case k8s::Kind::kWorkloadGroup:
      return Put(workload_groups, event);
    case k8s::Kind::kGateway:
      return Put(gateways, event);
    case k8s::Kind::kConfigMap:
      return Put(config_maps, event);
    case k8s::Kind::kVirtualService:
      return Put(virtual_services, event);
    case k8s::Kind::kDestinationRule:
      return Put(destination_rules, event);
    case k8s::Kind::kRequestAuthentication:
      return Put(request_authentications, event);
    case k8s::Kind::kTelemetry:
      return Put(telemetries, event);
    case k8s::Kind::kServiceAccount:
      return Put(service_accounts, event);
    case k8s::Kind::kPod:
      if (const auto old = Find(pods, key.ns, key.name)) {
        Drop(pods_on, old->spec().node_name(), key);
      }
      Put(pods, event);
      if (!event.deleted) pods_on[event.object.As<api::Pod>()->spec().node_name()].insert(key);
      return;
    case k8s::Kind::kServiceEntry:
      if (const auto old = Find(service_entries, key.ns, key.name)) {
        for (const std::string& host : old->spec().hosts()) Drop(entries_of_host, host, key);
      }
      Put(service_entries, event);
      entry_selectors.Erase(key.ns, key.name);
      if (event.deleted) return;
      entry_selectors.Set(
          key.ns, key.name,
          event.object.As<api::ServiceEntry>()->spec().workload_selector().labels());
      for (const std::string& host : event.object.As<api::ServiceEntry>()->spec().hosts()) {
        entries_of_host[host].insert(key);
      }
      return;
    case k8s::Kind::kPeerAuthentication:
      std::erase_if(peer_authentications, [&key](const k8s::PeerAuthenticationRef& policy) {
        return policy->metadata().namespace_() == key.ns && policy->metadata().name() == key.name;
      });
      if (!event.deleted) {
        peer_authentications.push_back(event.object.Share<api::PeerAuthentication>());
      }
      return;
    default:
      return;
  }
}

}  // namespace mesh::controller

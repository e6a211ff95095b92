#include "agent/controller/model/compiler.h"

#include <algorithm>

#include "agent/controller/translate/authorization.h"
#include "agent/controller/translate/peer_authentication.h"
#include "agent/controller/translate/service.h"
#include "agent/controller/translate/workload.h"
#include "agent/k8s/labels.h"
#include "ztunnel/base/ip.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {
namespace {

using k8s::Key;
using k8s::Kind;

constexpr char kServiceNameLabel[] = "kubernetes.io/service-name";

Key KeyOf(const api::Pod& pod) {
  return {Kind::kPod, pod.metadata().namespace_(), pod.metadata().name()};
}

bool SameMap(const k8s::Labels& a, const k8s::Labels& b) {
  return a.size() == b.size() && k8s::Matches(a, b);
}

std::string AliasOf(const std::string& network, std::string_view bytes) {
  const auto ip = IpAddress::FromBytes(bytes);
  return network + "/" + (ip ? ip->ToString() : "");
}

Resource MakeWorkload(const istio::workload::Workload& workload) {
  istio::workload::Address address;
  *address.mutable_workload() = workload;
  Resource resource = MakeResource(workload.uid(), address);
  for (const std::string& bytes : workload.addresses()) {
    resource.aliases.push_back(AliasOf(workload.network(), bytes));
  }
  resource.owner = workload.node();
  for (const auto& [name, ports] : workload.services()) resource.services.push_back(name);
  return resource;
}

}  // namespace

Compiler::Compiler(Settings flags) : flags_(std::move(flags)), settings_(flags_) {}

const Compiler::Resources& Compiler::resources(ResourceType type) const {
  return type == ResourceType::kAddress ? addresses_ : authorizations_;
}

size_t Compiler::object_count() const {
  size_t count = namespaces_.size() + nodes_.size() + peer_authentications_.size();
  const auto add = [&count](const auto& all) {
    for (const auto& [ns, named] : all) count += named.size();
  };
  add(pods_);
  add(services_);
  add(slices_);
  add(policies_);
  return count;
}

template <typename T>
std::shared_ptr<const T> Compiler::Find(const ByNamespace<T>& all, const std::string& ns,
                                        const std::string& name) const {
  const auto space = all.find(ns);
  if (space == all.end()) return nullptr;
  const auto found = space->second.find(name);
  return found == space->second.end() ? nullptr : found->second;
}

std::vector<ResourceChange> Compiler::Apply(const std::vector<k8s::Event>& events) {
  changes_.clear();
  Dirty dirty;
  for (const k8s::Event& event : events) {
    Note(event, dirty);  // what depended on it as it was
    Store(event);
    Note(event, dirty);  // and as it is
  }
  if (dirty.everything) {
    settings_ = WithMeshConfig(flags_, mesh_config_.get(), settings_problem_);
    MarkEverything(dirty);
  }
  for (const Key& key : dirty.keys) {  // policies first: pods list those that came to be
    if (key.kind == Kind::kAuthorizationPolicy) CompileAuthorization(key);
  }
  for (const Key& key : dirty.keys) {
    switch (key.kind) {
      case Kind::kPod:
        CompilePod(key);
        break;
      case Kind::kService:
        CompileService(key);
        break;
      case Kind::kEndpointSlice:
        CompileSlice(key);
        break;
      case Kind::kPeerAuthentication:
        CompilePeerAuthentication(key);
        break;
      default:
        break;
    }
  }
  if (dirty.static_strict) CompileStaticStrict();
  std::vector<ResourceChange> changes;
  changes.reserve(changes_.size());
  for (auto& [id, resource] : changes_)
    changes.push_back({id.first, id.second, std::move(resource)});
  changes_.clear();
  return changes;
}

void Compiler::MarkPods(const std::string& ns, Dirty& dirty) const {
  for (const auto& [space, pods] : pods_) {
    if (space != ns && ns != settings_.root_namespace) continue;
    for (const auto& [name, pod] : pods) dirty.keys.insert({Kind::kPod, space, name});
  }
}

void Compiler::MarkSelected(const api::Service& service, Dirty& dirty) const {
  const std::string& ns = service.metadata().namespace_();
  const auto& selector = service.spec().selector();
  if (const auto space = pods_.find(ns); !selector.empty() && space != pods_.end()) {
    for (const auto& [name, pod] : space->second) {
      if (k8s::Matches(selector, pod->metadata().labels())) dirty.keys.insert(KeyOf(*pod));
    }
  }
  if (const auto space = slices_.find(ns); space != slices_.end()) {
    for (const auto& [name, slice] : space->second) {
      if (k8s::ValueOf(slice->metadata().labels(), kServiceNameLabel) ==
          service.metadata().name()) {
        dirty.keys.insert({Kind::kEndpointSlice, ns, name});
      }
    }
  }
}

void Compiler::MarkEverything(Dirty& dirty) const {
  const auto mark = [&dirty](Kind kind, const auto& all) {
    for (const auto& [ns, named] : all) {
      for (const auto& [name, object] : named) dirty.keys.insert({kind, ns, name});
    }
  };
  mark(Kind::kPod, pods_);
  mark(Kind::kService, services_);
  mark(Kind::kEndpointSlice, slices_);
  mark(Kind::kAuthorizationPolicy, policies_);
  for (const auto& policy : peer_authentications_) {
    dirty.keys.insert(
        {Kind::kPeerAuthentication, policy->metadata().namespace_(), policy->metadata().name()});
  }
  dirty.static_strict = true;
}

// Marks what depends on the stored version of the event's object; called before and after storing.
void Compiler::Note(const k8s::Event& event, Dirty& dirty) {
  const Key& key = event.object.key();
  switch (key.kind) {
    case Kind::kPod:
    case Kind::kEndpointSlice:
      dirty.keys.insert(key);
      break;
    case Kind::kService:
      dirty.keys.insert(key);
      if (const auto service = Find(services_, key.ns, key.name)) MarkSelected(*service, dirty);
      break;
    case Kind::kNode: {
      const auto node = nodes_.find(key.name);
      const auto& now = event.object.metadata().labels();
      const bool same =
          !event.deleted && node != nodes_.end() && SameMap(node->second->metadata().labels(), now);
      if (same) break;
      if (const auto on = pods_on_.find(key.name); on != pods_on_.end()) {
        dirty.keys.insert(on->second.begin(), on->second.end());
      }
      break;
    }
    case Kind::kNamespace:
      if (const auto space = services_.find(key.name); space != services_.end()) {
        for (const auto& [name, service] : space->second) {
          dirty.keys.insert({Kind::kService, key.name, name});
        }
      }
      break;
    case Kind::kAuthorizationPolicy:
      dirty.keys.insert(key);
      if (const auto policy = Find(policies_, key.ns, key.name);
          policy != nullptr && policy->spec().has_selector()) {
        MarkPods(key.ns, dirty);
      }
      break;
    case Kind::kPeerAuthentication:
      dirty.keys.insert(key);
      dirty.static_strict = true;
      MarkPods(key.ns, dirty);
      // A parent decides what a workload policy becomes.
      for (const auto& policy : peer_authentications_) {
        const std::string& ns = policy->metadata().namespace_();
        if (ns == key.ns || key.ns == settings_.root_namespace) {
          dirty.keys.insert({Kind::kPeerAuthentication, ns, policy->metadata().name()});
        }
      }
      break;
    case Kind::kConfigMap:
      if (key.ns == flags_.system_namespace && key.name == "istio") dirty.everything = true;
      break;
    default:
      break;
  }
}

void Compiler::Store(const k8s::Event& event) {
  const Key& key = event.object.key();
  const auto put = [&](auto& named, auto shared) {
    if (event.deleted) {
      named.erase(key.name);
    } else {
      named[key.name] = std::move(shared);
    }
  };
  const k8s::Object& object = event.object;
  switch (key.kind) {
    case Kind::kNamespace:
      put(namespaces_, object.Share<api::Namespace>());
      break;
    case Kind::kNode:
      put(nodes_, object.Share<api::Node>());
      break;
    case Kind::kService:
      put(services_[key.ns], object.Share<api::Service>());
      break;
    case Kind::kEndpointSlice:
      put(slices_[key.ns], object.Share<api::EndpointSlice>());
      break;
    case Kind::kAuthorizationPolicy:
      put(policies_[key.ns], object.Share<api::AuthorizationPolicy>());
      break;
    case Kind::kPod: {
      if (const auto old = Find(pods_, key.ns, key.name)) {
        pods_on_[old->spec().node_name()].erase(key);
      }
      put(pods_[key.ns], object.Share<api::Pod>());
      if (!event.deleted) pods_on_[object.As<api::Pod>()->spec().node_name()].insert(key);
      break;
    }
    case Kind::kPeerAuthentication: {
      std::erase_if(peer_authentications_, [&key](const k8s::PeerAuthenticationRef& policy) {
        return policy->metadata().namespace_() == key.ns && policy->metadata().name() == key.name;
      });
      if (!event.deleted) peer_authentications_.push_back(object.Share<api::PeerAuthentication>());
      break;
    }
    case Kind::kConfigMap:
      if (key.ns == flags_.system_namespace && key.name == "istio") {
        mesh_config_ = event.deleted ? nullptr : object.Share<api::ConfigMap>();
      }
      break;
    default:
      break;
  }
}

void Compiler::CompilePod(const Key& key) {
  const auto pod = Find(pods_, key.ns, key.name);
  if (pod == nullptr || !IsSent(*pod)) return Retire(ResourceType::kAddress, key, {});
  WorkloadContext context;
  if (const auto node = nodes_.find(pod->spec().node_name()); node != nodes_.end()) {
    context.node = node->second.get();
  }
  if (const auto space = services_.find(key.ns); space != services_.end()) {
    for (const auto& [name, service] : space->second) {
      if (IsSent(*service) && !service->spec().selector().empty() &&
          k8s::Matches(service->spec().selector(), pod->metadata().labels())) {
        context.services.push_back(service.get());
      }
    }
  }
  context.authorization_policies = PolicyKeysFor(*pod);
  Resource resource = MakeWorkload(TranslatePod(*pod, context, settings_));
  Retire(ResourceType::kAddress, key, {resource.name});
  Put(ResourceType::kAddress, std::move(resource));
}

std::vector<std::string> Compiler::PolicyKeysFor(const api::Pod& pod) const {
  const std::string& ns = pod.metadata().namespace_();
  const auto& labels = pod.metadata().labels();
  std::set<std::string> keys;
  for (const std::string& space : {settings_.root_namespace, ns}) {
    const auto policies = policies_.find(space);
    if (policies == policies_.end()) continue;
    for (const auto& [name, policy] : policies->second) {
      const auto& selector = policy->spec().selector().match_labels();
      if (selector.empty() || !k8s::Matches(selector, labels)) continue;
      // Not those that are for waypoints, or not enforced.
      if (const std::string key = space + "/" + name; authorizations_.count(key) != 0)
        keys.insert(key);
    }
  }
  std::vector<std::string> result(keys.begin(), keys.end());
  if (auto key = PeerAuthenticationKeyFor(peer_authentications_, ns, labels, settings_)) {
    result.push_back(*std::move(key));
  }
  return result;
}

void Compiler::CompileService(const Key& key) {
  const auto service = Find(services_, key.ns, key.name);
  if (service == nullptr || !IsSent(*service)) return Retire(ResourceType::kAddress, key, {});
  const auto space = namespaces_.find(key.ns);
  istio::workload::Address address;
  *address.mutable_service() = TranslateService(
      *service, space == namespaces_.end() ? nullptr : space->second.get(), settings_);
  Resource resource = MakeResource(ResourceNameOf(*service, settings_), address);
  for (const auto& vip : address.service().addresses()) {
    resource.aliases.push_back(AliasOf(vip.network(), vip.address()));
  }
  Retire(ResourceType::kAddress, key, {resource.name});
  Put(ResourceType::kAddress, std::move(resource));
}

void Compiler::CompileSlice(const Key& key) {
  std::set<std::string> keep;
  std::vector<Resource> resources;
  if (const auto slice = Find(slices_, key.ns, key.name)) {
    const auto service =
        Find(services_, key.ns, k8s::ValueOf(slice->metadata().labels(), kServiceNameLabel));
    // Where there is a selector, the pods speak for themselves.
    if (service != nullptr && IsSent(*service) && service->spec().selector().empty()) {
      for (const auto& workload : TranslateSlice(*slice, *service, settings_)) {
        keep.insert(workload.uid());
        resources.push_back(MakeWorkload(workload));
      }
    }
  }
  Retire(ResourceType::kAddress, key, keep);
  for (Resource& resource : resources) Put(ResourceType::kAddress, std::move(resource));
  produced_[key] = std::move(keep);
}

void Compiler::CompileAuthorization(const Key& key) {
  const auto policy = Find(policies_, key.ns, key.name);
  if (policy == nullptr) {
    conditions_[key] = std::nullopt;
    return Retire(ResourceType::kAuthorization, key, {});
  }
  TranslatedPolicy translated = TranslateAuthorization(*policy, settings_);
  conditions_[key] = std::move(translated.condition);
  if (!translated.authorization) return Retire(ResourceType::kAuthorization, key, {});
  Put(ResourceType::kAuthorization,
      MakeResource(key.ns + "/" + key.name, *translated.authorization));
  produced_[key] = {key.ns + "/" + key.name};
}

void Compiler::CompilePeerAuthentication(const Key& key) {
  for (const auto& policy : peer_authentications_) {
    if (policy->metadata().namespace_() != key.ns || policy->metadata().name() != key.name)
      continue;
    const bool parent =
        k8s::ParentFor(peer_authentications_, settings_.root_namespace, key.ns).strict;
    const auto authorization = TranslatePeerAuthentication(*policy, parent, settings_);
    if (!authorization) break;
    const std::string name = key.ns + "/" + authorization->name();
    Put(ResourceType::kAuthorization, MakeResource(name, *authorization));
    produced_[key] = {name};
    return;
  }
  Retire(ResourceType::kAuthorization, key, {});
}

void Compiler::CompileStaticStrict() {
  // Produced by no object of its own: kept under a key that no object has.
  const Key key{Kind::kPeerAuthentication, "", ""};
  if (peer_authentications_.empty()) return Retire(ResourceType::kAuthorization, key, {});
  const auto authorization = StaticStrict(settings_);
  const std::string name = authorization.namespace_() + "/" + authorization.name();
  Retire(ResourceType::kAuthorization, key, {name});
  Put(ResourceType::kAuthorization, MakeResource(name, authorization));
  produced_[key] = {name};
}

void Compiler::Put(ResourceType type, Resource resource) {
  Resources& all = type == ResourceType::kAddress ? addresses_ : authorizations_;
  ResourceRef& slot = all[resource.name];
  if (slot != nullptr && slot->version == resource.version) return;
  slot = std::make_shared<const Resource>(std::move(resource));
  changes_[{type, slot->name}] = slot;
}

void Compiler::Retire(ResourceType type, const Key& key, const std::set<std::string>& keep) {
  Resources& all = type == ResourceType::kAddress ? addresses_ : authorizations_;
  std::set<std::string>& names = produced_[key];
  for (const std::string& name : names) {
    if (keep.count(name) != 0) continue;
    if (all.erase(name) != 0) changes_[{type, name}] = nullptr;
  }
  names = keep;
  if (names.empty()) produced_.erase(key);
}

absl::Status Compiler::CheckRunsOn(const std::string& node, const std::string& ns,
                                   const std::string& service_account) const {
  const auto on = pods_on_.find(node);
  if (on == pods_on_.end() || on->second.empty()) {
    return PermissionDenied("no pod is known to run on node {}", node);
  }
  for (const Key& key : on->second) {
    if (key.ns != ns) continue;
    const auto pod = Find(pods_, key.ns, key.name);
    const std::string& phase = pod->status().phase();
    if (phase != "Failed" && phase != "Succeeded" && ServiceAccountOf(*pod) == service_account) {
      return absl::OkStatus();
    }
  }
  return PermissionDenied("no pod with service account {}/{} runs on node {}", ns, service_account,
                          node);
}

std::map<Key, std::optional<api::Condition>> Compiler::TakeConditions() {
  return std::exchange(conditions_, {});
}

}  // namespace mesh::controller

#include "agent/controller/model/compiler.h"

#include <algorithm>
#include <tuple>

#include "agent/controller/translate/service_entry.h"
#include "agent/controller/translate/workload.h"
#include "ztunnel/base/ip.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {

using k8s::Key;
using k8s::Kind;

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
  resource.workload = true;
  for (const auto& [name, ports] : workload.services()) resource.services.push_back(name);
  return resource;
}

Compiler::Compiler(Settings flags) : flags_(std::move(flags)), settings_(flags_) {}

const Compiler::Resources& Compiler::resources(ResourceType type) const {
  return resources_[static_cast<size_t>(type)];
}

std::vector<ResourceChange> Compiler::Apply(const std::vector<k8s::Event>& events) {
  changes_.clear();
  Dirty dirty;
  for (const k8s::Event& event : events) {
    Note(event, dirty);  // what depended on it as it was
    store_.Store(event);
    Note(event, dirty);  // and as it is
  }
  if (dirty.everything) {
    l7_dirty_ = true;
    needs_dirty_ = true;
    const auto config = store_.Find(store_.config_maps, flags_.system_namespace, "istio");
    settings_ = WithMeshConfig(flags_, config.get(), settings_problem_);
    if (const api::Namespace* system = store_.SpaceOf(flags_.system_namespace)) {
      settings_.network = k8s::ValueOf(system->metadata().labels(), "topology.istio.io/network");
    }
    MarkEverything(dirty);
  }
  if (needs_dirty_) UpdateNeeds(dirty);
  CompileAll(dirty);
  if (guards_dirty_) CompileGuards();
  if (l7_dirty_) CompileL7();
  if (settings_.manage_waypoints) MakeObjects();
  std::vector<ResourceChange> changes;
  changes.reserve(changes_.size());
  for (auto& [id, resource] : changes_)
    changes.push_back({id.first, id.second, std::move(resource)});
  changes_.clear();
  return changes;
}

void Compiler::CompileAll(Dirty& dirty) {
  compiled_ += dirty.keys.size();
  // Policies first: workloads list those that came to be.
  for (const Key& key : dirty.keys) {
    if (key.kind == Kind::kAuthorizationPolicy) CompileAuthorization(key);
    if (key.kind == Kind::kGateway) CompileGateway(key);
    if (key.kind == Kind::kRequestAuthentication) CompileAuthentication(key);
  }
  // Entries by age, so that automatic addresses do not depend on the order of a batch; what a
  // status says is taken in before anything new is given out.
  std::vector<std::pair<Key, std::shared_ptr<const api::ServiceEntry>>> entries;
  for (const Key& key : dirty.keys) {
    if (key.kind != Kind::kServiceEntry) continue;
    entries.emplace_back(key, store_.Find(store_.service_entries, key.ns, key.name));
    const auto& entry = entries.back().second;
    if (entry == nullptr) {
      vips_.Release(key);
    } else {
      vips_.Claim(key, HostsToAllocate(*entry), entry->status());
    }
  }
  const auto age = [](const auto& entry) {
    return std::make_tuple(
        entry.second ? entry.second->metadata().creation_timestamp() : std::string(), entry.first);
  };
  std::sort(entries.begin(), entries.end(),
            [&age](const auto& a, const auto& b) { return age(a) < age(b); });
  for (const auto& [key, entry] : entries) CompileServiceEntry(key);
  for (const Key& key : dirty.keys) {
    if (key.kind == Kind::kPod) CompilePod(key);
    if (key.kind == Kind::kWorkloadEntry) CompileWorkloadEntry(key);
    if (key.kind == Kind::kWorkloadGroup) CompileWorkloadGroup(key);
    if (key.kind == Kind::kService) CompileService(key);
    if (key.kind == Kind::kEndpointSlice) CompileSlice(key);
    if (key.kind == Kind::kPeerAuthentication) CompilePeerAuthentication(key);
  }
  if (dirty.static_strict) CompileStaticStrict();
}

void Compiler::Produce(ResourceType type, const Key& key, std::vector<Resource> resources) {
  Resources& all = resources_[static_cast<size_t>(type)];
  std::set<std::string> names;
  for (Resource& resource : resources) {
    names.insert(resource.name);
    producers_[{type, resource.name}] = key;
    ResourceRef& slot = all[resource.name];
    if (slot != nullptr && slot->version == resource.version) {
      if (const auto change = changes_.find({type, resource.name}); change != changes_.end()) {
        change->second = slot;  // gone and come again within one batch
      }
      continue;
    }
    slot = std::make_shared<const Resource>(std::move(resource));
    changes_[{type, slot->name}] = slot;
  }
  const auto before = produced_.find({type, key});
  if (before != produced_.end()) {
    for (const std::string& name : before->second) {
      if (names.count(name) != 0) continue;
      // Another object may have become the one that says what this name is.
      const auto producer = producers_.find({type, name});
      if (producer == producers_.end() || producer->second != key) continue;
      producers_.erase(producer);
      if (all.erase(name) != 0) changes_[{type, name}] = nullptr;
    }
  }
  if (names.empty()) {
    produced_.erase({type, key});
  } else {
    produced_[{type, key}] = std::move(names);
  }
}

void Compiler::SetStatus(const Key& key, ObjectStatus status) {
  if (status.empty()) {
    if (with_status_.erase(key) != 0) statuses_[key] = {};
    return;
  }
  with_status_.insert(key);
  statuses_[key] = std::move(status);
}

std::map<Key, ObjectStatus> Compiler::TakeStatuses() { return std::exchange(statuses_, {}); }

absl::Status Compiler::CheckRunsOn(const std::string& node, const std::string& ns,
                                   const std::string& service_account) const {
  const auto on = store_.pods_on.find(node);
  if (on == store_.pods_on.end() || on->second.empty()) {
    return PermissionDenied("no pod is known to run on node {}", node);
  }
  for (const Key& key : on->second) {
    if (key.ns != ns) continue;
    const auto pod = store_.Find(store_.pods, key.ns, key.name);
    const std::string& phase = pod->status().phase();
    if (phase != "Failed" && phase != "Succeeded" && ServiceAccountOf(*pod) == service_account) {
      return absl::OkStatus();
    }
  }
  return PermissionDenied("no pod with service account {}/{} runs on node {}", ns, service_account,
                          node);
}

}  // namespace mesh::controller

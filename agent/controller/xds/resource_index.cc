#include "agent/controller/xds/resource_index.h"

namespace mesh::controller {
namespace {

void Drop(std::map<std::string, std::set<std::string>, std::less<>>& all, const std::string& key,
          const std::string& name) {
  const auto it = all.find(key);
  if (it == all.end()) return;
  it->second.erase(name);
  if (it->second.empty()) all.erase(it);
}

std::vector<std::string> List(const std::map<std::string, std::set<std::string>, std::less<>>& all,
                              const std::string& key) {
  const auto it = all.find(key);
  if (it == all.end()) return {};
  return {it->second.begin(), it->second.end()};
}

}  // namespace

void ResourceIndex::Link(const Resource& resource) {
  for (const std::string& alias : resource.aliases) by_alias_[alias].insert(resource.name);
  for (const std::string& service : resource.services) endpoints_[service].insert(resource.name);
  if (!resource.owner.empty()) on_node_[resource.owner].insert(resource.name);
}

void ResourceIndex::Unlink(const Resource& resource) {
  for (const std::string& alias : resource.aliases) Drop(by_alias_, alias, resource.name);
  for (const std::string& service : resource.services) Drop(endpoints_, service, resource.name);
  if (!resource.owner.empty()) Drop(on_node_, resource.owner, resource.name);
}

void ResourceIndex::Update(const std::vector<ResourceChange>& changes) {
  for (const ResourceChange& change : changes) {
    if (change.type != ResourceType::kAddress) continue;
    ResourceRef& slot = indexed_[change.name];
    if (slot != nullptr) Unlink(*slot);
    slot = change.resource;
    if (slot != nullptr) {
      Link(*slot);
    } else {
      indexed_.erase(change.name);
    }
  }
}

ResourceRef ResourceIndex::Find(ResourceType type, const std::string& name_or_alias) const {
  const auto& all = resources(type);
  if (const auto it = all.find(name_or_alias); it != all.end()) return it->second;
  const auto alias = by_alias_.find(name_or_alias);
  if (type != ResourceType::kAddress || alias == by_alias_.end()) return nullptr;
  // Workloads before services: a uid holds two slashes in a row or a group, and names of services
  // begin with their namespace; what a node proxy prefers among several is its own rule.
  ResourceRef best;
  for (const std::string& name : alias->second) {
    const auto it = all.find(name);
    if (it == all.end()) continue;
    if (name.find("//Pod/") != std::string::npos) return it->second;
    if (best == nullptr || !it->second->owner.empty()) best = it->second;
  }
  return best;
}

std::vector<std::string> ResourceIndex::EndpointsOf(const std::string& service) const {
  return List(endpoints_, service);
}

std::vector<std::string> ResourceIndex::WorkloadsOn(const std::string& node) const {
  return List(on_node_, node);
}

}  // namespace mesh::controller

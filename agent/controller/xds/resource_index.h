// The compiler's resources with the lookups that on-demand clients need, kept up from the changes.
//
// Owner: Hub. Thread: the controller's.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/xds/delta_session.h"

namespace mesh::controller {

class ResourceIndex : public ResourceView {
 public:
  explicit ResourceIndex(const Compiler& compiler) : compiler_(compiler) {}

  // After every Compiler::Apply().
  void Update(const std::vector<ResourceChange>& changes);

  const Compiler::Resources& resources(ResourceType type) const override {
    return compiler_.resources(type);
  }
  ResourceRef Find(ResourceType type, const std::string& name_or_alias) const override;
  std::vector<std::string> EndpointsOf(const std::string& service) const override;
  std::vector<std::string> WorkloadsOn(const std::string& node) const override;

 private:
  using Names = std::map<std::string, std::set<std::string>, std::less<>>;
  void Link(const Resource& resource);
  void Unlink(const Resource& resource);

  const Compiler& compiler_;
  std::map<std::string, ResourceRef> indexed_;
  Names by_alias_;
  Names endpoints_;  // service -> workloads
  Names on_node_;
};

}  // namespace mesh::controller

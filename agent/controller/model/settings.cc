#include "agent/controller/model/settings.h"

#include "agent/k8s/json.h"
#include "ztunnel/base/status.h"
#include "ztunnel/base/yaml.h"

namespace mesh::controller {

Settings WithMeshConfig(const Settings& flags, const api::ConfigMap* config, std::string& problem) {
  problem.clear();
  Settings settings = flags;
  if (config == nullptr) return settings;
  const auto data = config->data().find("mesh");
  if (data == config->data().end()) return settings;
  const auto documents = ReadYaml(data->second);
  if (documents.empty()) return settings;
  if (!documents.front().status.ok()) {
    problem = std::string(MessageOf(documents.front().status));
    return settings;
  }
  const k8s::Json& mesh = documents.front().value;
  if (const std::string root = k8s::StringMember(mesh, "rootNamespace"); !root.empty()) {
    settings.root_namespace = root;
  }
  if (const std::string domain = k8s::StringMember(mesh, "trustDomain"); !domain.empty()) {
    settings.trust_domain = domain;
  }
  return settings;
}

}  // namespace mesh::controller

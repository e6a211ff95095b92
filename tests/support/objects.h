// Objects that most suites begin with, as YAML documents; each but the first begins with "---".
#pragma once

#include <string>

namespace mesh::test {

// Pods of `shop` are in the mesh, those of `outside` are not.
inline const std::string kShopAndOutside = R"(
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio.io/dataplane-mode: ambient}
---
apiVersion: v1
kind: Namespace
metadata: {name: outside}
)";

// Labelled app: NAME, with one container, `app`.
inline std::string PodOf(const std::string& ns, const std::string& name, const std::string& node,
                         const std::string& command) {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: " + ns +
         ", labels: {app: " + name + "}}\nspec:\n  nodeName: " + node +
         "\n  containers:\n  - {name: app, image: culvert/meshapp, command: [meshapp, " + command +
         "]}\n";
}

inline std::string IdlePod(const std::string& ns, const std::string& name,
                           const std::string& node) {
  return PodOf(ns, name, node, "sleep");
}

// HTTP on port 8080, answering with its name.
inline std::string ServingPod(const std::string& ns, const std::string& name,
                              const std::string& node) {
  return PodOf(ns, name, node, "serve, --port, \"8080\", --name, " + name);
}

}  // namespace mesh::test

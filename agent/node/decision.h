// Whether a pod belongs into the mesh, and the words that tell a person why.
#pragma once

#include <string>

#include "agent/node/pod.h"
#include "ztunnel/base/string_map.h"

namespace mesh::node {

struct DecisionOptions {
  StringSet excluded_namespaces = {"kube-system"};
  std::string system_namespace = "istio-system";
};

struct Decision {
  bool enrol = false;
  std::string reason;
};

// A pure function. A pod's own label counts before its namespace's.
Decision Decide(const PodSpec& pod, const DecisionOptions& options);

// What the pod's annotations ask for.
bool WantsDnsCapture(const PodSpec& pod, bool by_default);
bool BypassesInbound(const PodSpec& pod);

}  // namespace mesh::node

#include "agent/node/decision.h"

#include <string_view>

namespace mesh::node {
namespace {

std::string_view ValueOf(const StringMap<std::string>& map, std::string_view key) {
  const auto it = map.find(key);
  return it == map.end() ? std::string_view() : std::string_view(it->second);
}

}  // namespace

Decision Decide(const PodSpec& pod, const DecisionOptions& options) {
  constexpr std::string_view kMode = "istio.io/dataplane-mode";
  if (pod.host_network) return {false, "it uses the node's network (hostNetwork)"};
  if (pod.finished) return {false, "it has finished"};
  if (options.excluded_namespaces.contains(pod.ns)) {
    return {false, "namespace " + pod.ns + " is excluded"};
  }
  if (pod.ns == options.system_namespace && ValueOf(pod.labels, "app") == "ztunnel") {
    return {false, "it is the node proxy itself"};
  }
  if (pod.annotations.contains("sidecar.istio.io/status")) return {false, "it has a sidecar"};
  const std::string_view own = ValueOf(pod.labels, kMode);
  if (own == "ambient") return {true, "the pod's label istio.io/dataplane-mode=ambient"};
  if (own == "none") return {false, "the pod's label istio.io/dataplane-mode=none"};
  if (ValueOf(pod.ns_labels, kMode) == "ambient") {
    return {true, "the namespace's label istio.io/dataplane-mode=ambient"};
  }
  if (ValueOf(pod.ns_labels, kMode) == "none") {
    return {false, "the namespace's label istio.io/dataplane-mode=none"};
  }
  if (ValueOf(pod.ns_labels, "istio-injection") == "enabled") {
    return {true, "the namespace's label istio-injection=enabled"};
  }
  return {false, "neither the pod nor its namespace has a label that asks for the mesh"};
}

bool WantsDnsCapture(const PodSpec& pod, bool by_default) {
  const std::string_view value = ValueOf(pod.annotations, "ambient.istio.io/dns-capture");
  if (value == "true") return true;
  if (value == "false") return false;
  return by_default;
}

bool BypassesInbound(const PodSpec& pod) {
  return ValueOf(pod.annotations, "ambient.istio.io/bypass-inbound-capture") == "true";
}

}  // namespace mesh::node

#include "agent/node/source_view.h"

#include <algorithm>

namespace mesh::node {
namespace {

template <typename T>
void Keep(std::map<std::string, std::shared_ptr<const T>>& map, const k8s::Event& event) {
  const auto message = event.object.Share<T>();
  if (message == nullptr) return;
  const std::string key = event.object.ns() + "/" + event.object.name();
  if (event.deleted) {
    map.erase(key);
  } else {
    map[key] = message;
  }
}

StringMap<std::string> Copy(const k8s::Labels& labels) {
  return StringMap<std::string>(labels.begin(), labels.end());
}

void AddIp(std::vector<IpAddress>& ips, const std::string& text) {
  const auto ip = IpAddress::Parse(text);
  if (ip && std::ranges::find(ips, *ip) == ips.end()) ips.push_back(*ip);
}

// In the kernel only where every port says the same.
bool StrictOnEveryPort(const k8s::EffectivePeerAuthentication& effective) {
  return effective.strict &&
         std::ranges::all_of(effective.ports, [](const auto& port) { return port.second; });
}

}  // namespace

void SourceView::Apply(const std::vector<k8s::Event>& events) {
  for (const k8s::Event& event : events) {
    Keep(namespaces_, event);
    Keep(pods_, event);
    Keep(peer_authentications_, event);
  }
}

PodSpec SourceView::SpecOf(const api::Pod& pod) const {
  const api::ObjectMeta& metadata = pod.metadata();
  PodSpec spec;
  spec.uid = metadata.uid();
  spec.name = metadata.name();
  spec.ns = metadata.namespace_().empty() ? "default" : metadata.namespace_();
  spec.service_account = pod.spec().service_account_name();
  if (spec.service_account.empty()) spec.service_account = pod.spec().service_account();
  if (spec.service_account.empty()) spec.service_account = "default";
  spec.labels = Copy(metadata.labels());
  spec.annotations = Copy(metadata.annotations());
  // The agent's own word is no input to the agent.
  spec.annotations.erase("ambient.istio.io/redirection");
  if (const auto it = namespaces_.find("/" + spec.ns); it != namespaces_.end()) {
    spec.ns_labels = Copy(it->second->metadata().labels());
  }
  spec.host_network = pod.spec().host_network();
  spec.finished = pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed";
  for (const api::PodIp& ip : pod.status().pod_ips()) AddIp(spec.ips, ip.ip());
  AddIp(spec.ips, pod.status().pod_ip());
  spec.netns_path = k8s::ValueOf(metadata.annotations(), "local.mesh/netns");
  std::vector<k8s::PeerAuthenticationRef> all;
  for (const auto& [key, policy] : peer_authentications_) {
    if (policy->metadata().namespace_() == spec.ns ||
        policy->metadata().namespace_() == root_namespace_) {
      all.push_back(policy);
    }
  }
  spec.strict =
      StrictOnEveryPort(k8s::EffectiveFor(all, root_namespace_, spec.ns, metadata.labels()));
  return spec;
}

std::map<std::string, PodSpec> SourceView::Pods() const {
  std::map<std::string, PodSpec> pods;
  for (const auto& [key, pod] : pods_) {
    if (pod->spec().node_name() != node_name_ || pod->metadata().uid().empty()) continue;
    pods.emplace(pod->metadata().uid(), SpecOf(*pod));
  }
  return pods;
}

}  // namespace mesh::node

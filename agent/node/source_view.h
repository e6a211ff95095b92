// The objects that matter to one node, as pods: a Source's events in, PodSpecs out.
//
// Owner: the node's main. Thread: one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/k8s/peer_authentication.h"
#include "agent/k8s/source.h"
#include "agent/node/pod.h"

namespace mesh::node {

class SourceView {
 public:
  SourceView(std::string node_name, std::string root_namespace)
      : node_name_(std::move(node_name)), root_namespace_(std::move(root_namespace)) {}

  void Apply(const std::vector<k8s::Event>& events);
  // The pods that run on this node (placed, with a uid), by uid.
  std::map<std::string, PodSpec> Pods() const;

 private:
  PodSpec SpecOf(const api::Pod& pod) const;

  std::string node_name_;
  std::string root_namespace_;
  std::map<std::string, std::shared_ptr<const api::Namespace>> namespaces_;
  std::map<std::string, std::shared_ptr<const api::Pod>> pods_;  // "namespace/name"
  std::map<std::string, k8s::PeerAuthenticationRef> peer_authentications_;
};

}  // namespace mesh::node

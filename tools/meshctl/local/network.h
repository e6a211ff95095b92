// The machine's part of a local mesh: network namespaces joined by bridges and veth pairs, routed,
// without a packet rule anywhere. Built with iproute2.
//
//   fabric namespace: bridge fabric0 <- one veth per node (10.89.0.N) and the controller
//   (10.89.0.254) node namespace:   eth0 to the fabric, bridge br0 (10.244.N.1) <- one veth per pod
//   pod namespace:    eth0 (10.244.N.x), default route to br0
// Service addresses exist nowhere but in the programs of the mesh: what these leave alone is
// answered "unreachable" by the node at once. The name server's is an address of each node.
#pragma once

#include <absl/status/status.h>

#include <string>

#include "tools/meshctl/local/layout.h"

namespace mesh::local {

class Network {
 public:
  Network(const Layout& layout, const Config& config) : layout_(layout), config_(config) {}

  // The fabric, the controller's namespace and every node. What is left of an earlier mesh of this
  // name is removed first.
  absl::Status Build() const;
  // Makes the pod's namespace and link.
  absl::Status AddPod(const NodeConfig& node, const std::string& netns, int pod_index) const;
  void RemovePod(const std::string& netns) const;
  // Every namespace of this mesh; fine when there is none. Returns how many there were.
  int RemoveAll() const;

 private:
  absl::Status BuildNode(const NodeConfig& node) const;
  absl::Status Plug(const std::string& netns, const std::string& port, int index) const;

  Layout layout_;
  Config config_;
};

}  // namespace mesh::local

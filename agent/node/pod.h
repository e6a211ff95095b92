// A pod of this node as the agent needs it, whichever source it came from. A plain value.
#pragma once

#include <string>
#include <vector>

#include "ztunnel/base/ip.h"
#include "ztunnel/base/string_map.h"

namespace mesh::node {

struct PodSpec {
  std::string uid;
  std::string name;
  std::string ns;
  std::string service_account;
  StringMap<std::string> labels;
  StringMap<std::string> ns_labels;
  StringMap<std::string> annotations;
  bool host_network = false;
  bool finished = false;  // phase Succeeded or Failed
  std::vector<IpAddress> ips;
  std::string netns_path;  // empty when the source does not know it
  bool strict = false;     // PeerAuthentication: mutual TLS on every port

  std::string FullName() const { return ns + "/" + name; }
  bool operator==(const PodSpec&) const = default;
};

}  // namespace mesh::node

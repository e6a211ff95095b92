// What the CNI plugin (or the local runtime in its place) says when a pod's sandbox is made:
// POST /cmdadd, a JSON object. Foreign bytes.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/base/ip.h"

namespace mesh::node {

struct CniEvent {
  std::string netns_path;
  std::string pod_name;
  std::string pod_namespace;
  std::vector<IpAddress> ips;
};

// Errors name the member. Members that are not ours are ignored. At most 64 KiB and 32 addresses.
absl::StatusOr<CniEvent> ParseCniEvent(std::string_view json);

}  // namespace mesh::node

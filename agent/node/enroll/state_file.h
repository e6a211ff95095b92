// The pods of this node that the agent has enrolled, on disk, so that a restarted agent knows what
// is pinned in the kernel. Written before a pod's capture begins and after it ended.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "ztunnel/base/ip.h"

namespace mesh::node {

struct SavedPod {
  std::string uid;
  std::string name;
  std::string ns;
  std::string service_account;
  std::string netns_path;
  uint64_t cookie = 0;
  std::vector<IpAddress> ips;
  bool operator==(const SavedPod&) const = default;
};

std::string FormatState(const std::vector<SavedPod>& pods);
absl::StatusOr<std::vector<SavedPod>> ParseState(std::string_view json);

// `path` absent: NotFound, which is not the same as no pods. Saving replaces the file in one step.
absl::StatusOr<std::vector<SavedPod>> LoadState(const std::string& path);
absl::Status SaveState(const std::string& path, const std::vector<SavedPod>& pods);

}  // namespace mesh::node

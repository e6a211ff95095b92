// Where the cgroup v2 hierarchy is mounted: alone, or beside v1. Stateless, any thread.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

namespace mesh {

struct CgroupMount {
  std::string path;  // "/sys/fs/cgroup" or "/sys/fs/cgroup/unified"
  std::string root;  // which cgroup stands there; "/" without a cgroup namespace
};

// The cgroup v2 mount that a /proc/PID/mountinfo text names. Of several the first.
absl::StatusOr<CgroupMount> ParseCgroup2(std::string_view mountinfo);
absl::StatusOr<CgroupMount> FindCgroup2();

}  // namespace mesh

// Where the kernel's file systems are: cgroup v2 (mounted alone, or beside v1) and bpffs.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace mesh::node {

struct CgroupMount {
  std::string path;  // "/sys/fs/cgroup" or "/sys/fs/cgroup/unified"
  std::string root;  // which cgroup stands there; "/" without a cgroup namespace
};

// The cgroup v2 mount that a /proc/PID/mountinfo text names. Of several the first.
absl::StatusOr<CgroupMount> ParseCgroup2(std::string_view mountinfo);
absl::StatusOr<CgroupMount> FindCgroup2();

struct CgroupId {
  uint64_t id = 0;
  uint32_t level = 0;  // depth below the root of the hierarchy
};
absl::StatusOr<CgroupId> IdOfCgroup(const std::string& path);

// Makes `path` a directory on a bpffs. Where none is mounted, one is: on /sys/fs/bpf for a path
// below it, else on `path` itself.
absl::Status EnsureBpffs(const std::string& path);
bool IsBpffs(const std::string& path);

}  // namespace mesh::node

// The kernel's file systems that the programs need: cgroup v2 and bpffs.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>

#include "ztunnel/base/cgroup2.h"

namespace mesh::node {

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

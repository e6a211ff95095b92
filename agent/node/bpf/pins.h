// Pins below <bpf_dir>: the layout, and the low-level steps that Dataplane is made of.
//
//   <bpf_dir>/v1/mesh_pods ...        maps
//   <bpf_dir>/v1/links/mesh_connect4  links on cgroups, by program
//   <bpf_dir>/v1/pods/<uid>           sk_lookup links on pods' namespaces
//
// bpffs refuses names with dots.
#pragma once

#include <absl/status/statusor.h>
#include <bpf/bpf.h>

#include <string>
#include <vector>

#include "ztunnel/base/unique_fd.h"

namespace mesh::node {

inline std::string LiveDir(const std::string& bpf_dir) { return bpf_dir + "/v1"; }
inline std::string StagingDir(const std::string& bpf_dir) { return bpf_dir + "/v1-new"; }

absl::Status MakeDirs(const std::string& path);
// No error when it is absent.
absl::Status Unpin(const std::string& path);
absl::Status RemoveTree(const std::string& path);
std::vector<std::string> Names(const std::string& directory);  // sorted; empty when absent

// A pinned object; NotFound when there is none.
absl::StatusOr<UniqueFd> GetPinned(const std::string& path);
// Pins, in the place of what was pinned there.
absl::Status Pin(int fd, const std::string& path);

// What a link is attached to: a cgroup id or a netns inode, 0 once that is gone.
absl::StatusOr<uint64_t> LinkTarget(int link_fd);
// Makes `program` run at `target_fd`: the link pinned at `path` gets the new program in one step
// when it is on `target_id`, else a new link takes its place.
absl::Status Link(int program_fd, int target_fd, uint64_t target_id, bpf_attach_type type,
                  const std::string& path);

}  // namespace mesh::node

// Takes away all that `mesh-agent node` with the same options ever made, and nothing of others.
#pragma once

#include <absl/status/status.h>

#include <string>

#include "agent/node/node.h"

namespace mesh::node {

inline std::string StateFile(const std::string& state_dir) { return state_dir + "/pods.json"; }
// The last good version of the objects that the agent goes by.
inline std::string ObjectsDir(const std::string& state_dir) { return state_dir + "/objects"; }
inline std::string LockFile(const std::string& state_dir) { return state_dir + "/lock"; }

// Goes on after a failure and returns the first. For a stopped agent; running pods keep their
// network and leave the mesh.
absl::Status CleanUpNode(const NodeOptions& options);

}  // namespace mesh::node

// The objects of a mesh as commands see them.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include "tools/meshctl/context.h"
#include "tools/meshctl/local/store.h"

namespace mesh::meshctl {

// All objects as they are now, patches and status included.
local::ObjectStore LoadObjects(const local::Layout& layout, const local::Config& config);

// The pod that is meant by a word: of that name, else the first of the workload of that name. Also
// NAMESPACE/NAME, KIND/NAME and NAME.NAMESPACE. Without a namespace it is looked for in all, and
// must be in one only.
absl::StatusOr<const Json*> FindPod(const local::ObjectStore& store, const std::string& ns,
                                    const std::string& word);

// "enrolled", "pending", "" as the node's agent has written it.
std::string MeshStateOf(const Json& pod);
// What `ps` shows under STATUS.
std::string PodStatusText(const Json& pod);

}  // namespace mesh::meshctl

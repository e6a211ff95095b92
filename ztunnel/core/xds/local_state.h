// State from a text instead of the control plane: LOCAL_XDS, or the file of LOCAL_XDS_PATH. YAML or
// JSON, in the words of /config_dump:
//
//   workloads:  its workloads, but `services` maps each namespace/hostname to {service port: port};
//               without a uid it is the pod's: CLUSTER//Pod/NAMESPACE/NAME
//   services:   its services; `endpoints` are left out, they follow from the workloads
//   policies:   its policies
//
// Read once, at start. Whatever is not understood is an error that names the place: a policy must
// not become a wider one by a misspelled word.
#pragma once

#include <absl/status/status.h>

#include <string>
#include <string_view>

#include "ztunnel/core/state/mesh_state.h"

namespace mesh::xds {

absl::Status LoadLocalState(std::string_view text, const std::string& cluster_id,
                            state::StateStore& store);

}  // namespace mesh::xds

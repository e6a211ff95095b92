// Takes a local mesh away: processes, programs of the kernel, namespaces, groups, files. Works from
// what is on the machine, so also after its runtime was killed; touches nothing that is not this
// mesh's.
#pragma once

#include <absl/status/status.h>

#include <string>
#include <vector>

#include "tools/meshctl/local/layout.h"

namespace mesh::local {

struct TeardownReport {
  int processes = 0, namespaces = 0, nodes = 0;
  std::vector<std::string> problems;
  bool nothing = false;  // there was nothing
};

// Ends the runtime (not when it is the caller), then all the rest. With `keep_files` manifests,
// keys and addresses stay: the mesh can be built again.
TeardownReport Teardown(const Layout& layout, bool keep_files);

// The process id of a living runtime of this mesh; -1 without one.
int RuntimePid(const Layout& layout);

}  // namespace mesh::local

// The program behind a local mesh: kubelet, service addresses and supervisor in one loop.
#pragma once

#include "tools/meshctl/local/layout.h"

namespace mesh::local {

// Runs in the foreground until SIGTERM or SIGINT; returns the exit code. One per mesh (a lock on
// ROOT/run.lock). What an earlier one left behind is removed first; manifests, keys and addresses
// stay.
int RunRuntime(const Layout& layout);

}  // namespace mesh::local

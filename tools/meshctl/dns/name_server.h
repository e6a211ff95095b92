// The cluster's name server of a local mesh (kube-dns of kube-system): at 10.96.0.10 on every node,
// answering for services and pods from the same manifests as the mesh, and asking the machine's own
// resolvers for the rest.
//
// It runs outside of the nodes' namespaces and cgroups: what it asks goes the machine's way.
#pragma once

#include "tools/meshctl/local/layout.h"

namespace mesh::local {

// Runs until it is killed; returns an exit code when it cannot start.
int RunNameServer(const Layout& layout);

}  // namespace mesh::local

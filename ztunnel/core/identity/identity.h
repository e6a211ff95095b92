// A workload's identity, as its certificate names it.
#pragma once

#include "ztunnel/base/spiffe.h"

namespace mesh::identity {

using Identity = SpiffeId;

}  // namespace mesh::identity

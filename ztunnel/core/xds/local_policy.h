// The policies of a local state's text.
#pragma once

#include "ztunnel/core/xds/local_object.h"

namespace istio::security {
class Authorization;
}

namespace mesh::xds {

// What is not understood is in the object's errors.
void ReadLocalPolicy(LocalObject& in, istio::security::Authorization& out);

}  // namespace mesh::xds

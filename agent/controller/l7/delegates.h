// Delegation: a VirtualService's http rule that leaves its routes to another VirtualService.
#pragma once

#include <vector>

#include "proto/api/istio_traffic.pb.h"

namespace mesh::controller {

// The delegate's rules under the root's: matches are those of both, what the delegate says counts
// before what the root says. Rules that no request can match are left out.
std::vector<api::HttpRule> MergeDelegate(const api::HttpRule& root,
                                         const api::VirtualServiceSpec& delegate);

}  // namespace mesh::controller

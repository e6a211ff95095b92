// AuthorizationPolicy -> mesh.l7.v1.Policy.
#pragma once

#include "agent/controller/model/settings.h"
#include "proto/api/istio_security.pb.h"
#include "proto/l7_policy.pb.h"

namespace mesh::controller {

// What cannot be enforced as written denies: CUSTOM (there are no providers) what its rules match,
// a rule of attributes that nobody knows here everything.
mesh::l7::v1::Policy TranslatePolicy(const api::AuthorizationPolicy& policy,
                                     const Settings& settings);

// What cannot be enforced as written; empty: nothing.
std::string UnenforceableIn(const api::AuthorizationPolicy& policy);

}  // namespace mesh::controller

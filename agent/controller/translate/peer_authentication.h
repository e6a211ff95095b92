// PeerAuthentication -> L4 policies: STRICT is a DENY of peers without identity.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/controller/model/settings.h"
#include "agent/k8s/peer_authentication.h"
#include "proto/authorization.pb.h"

namespace mesh::controller {

// The one policy that every STRICT workload without port exceptions lists.
istio::security::Authorization StaticStrict(const Settings& settings);

// What a workload policy with port entries becomes; none when the static policy (or no policy) says
// the same. `parent_strict`: the mode that UNSET inherits.
std::optional<istio::security::Authorization> TranslatePeerAuthentication(
    const api::PeerAuthentication& policy, bool parent_strict, const Settings& settings);

// The key that a workload lists; none when it is not STRICT anywhere.
std::optional<std::string> PeerAuthenticationKeyFor(
    const std::vector<k8s::PeerAuthenticationRef>& all, const std::string& ns,
    const k8s::Labels& labels, const Settings& settings);

}  // namespace mesh::controller

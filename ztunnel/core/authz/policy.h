// L4 authorization: deny, then allow, then default, on what the connection is (facts in the order
// of istio.security.Authorization). Compiled when the snapshot is published; a check looks only at
// rules that could match.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/base/ip.h"
#include "ztunnel/core/identity/identity.h"

namespace istio::security {
class Authorization;
}

namespace mesh::authz {

struct Connection {
  std::optional<identity::Identity> source;  // none: plain text
  IpAddress source_ip;                       // TCP peer (of the tunnel, when tunnelled)
  IpAddress destination_ip;                  // the pod
  uint16_t destination_port = 0;             // after the tunnel's end, not 15008
};

class Policy;  // immutable, thread-safe
using PolicyRef = std::shared_ptr<const Policy>;

enum class PolicyScope { kGlobal, kNamespace, kWorkloadSelector };

// Refused: unknown enum values, malformed addresses (never silently widened), matches without a
// value.
absl::StatusOr<PolicyRef> Compile(const istio::security::Authorization& authorization);

std::string KeyOf(const Policy& policy);  // namespace/name
PolicyScope ScopeOf(const Policy& policy);
// What it was compiled from, for dumps.
const istio::security::Authorization& SourceOf(const Policy& policy);

struct Decision {
  bool allowed = true;
  // The policy that decided: the one that denied, the one that allowed, or empty (no policy at all,
  // or none of the ALLOW policies matched).
  std::string policy;
  // "no_policy", "allowed by ns/name", "denied by ns/name", "no ALLOW policy matches (3 apply)".
  std::string explanation;
  // What dry-run policies that match would have done: "denied policy=ns/name".
  std::vector<std::string> dry_run;
};

enum class DryRun { kTell, kLeaveOut };

// `policies` are those of MeshState::PoliciesFor the destination. Dry-run policies decide nothing.
Decision Check(std::span<const PolicyRef> policies, const Connection& connection,
               DryRun dry_run = DryRun::kTell);

}  // namespace mesh::authz

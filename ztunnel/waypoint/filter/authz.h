// L7 authorization: AuthorizationPolicy as the waypoint enforces it.
//
// Compiled when the snapshot is published; immutable and thread-safe. Check allocates nothing
// unless a dry-run or AUDIT policy matches, or a header is repeated that a rule asks for.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/base/ip.h"
#include "ztunnel/waypoint/filter/token.h"
#include "ztunnel/waypoint/route/request_view.h"

namespace mesh::l7::v1 {
class Policy;
}

namespace mesh::filter {

class Policy;  // one AuthorizationPolicy
using PolicyRef = std::shared_ptr<const Policy>;

// The error names the field: "rules[0].from[1].ip_blocks[0]: ...".
absl::StatusOr<PolicyRef> CompilePolicy(const l7::v1::Policy& policy);
// Stands for a policy that was named and has not arrived: denies everything.
PolicyRef MissingPolicy(std::string_view name);

// The client's identity, in the parts that rules compare. All empty: plain text.
struct PeerView {
  std::string_view principal;  // <trust domain>/ns/<namespace>/sa/<service account>
  std::string_view trust_domain, ns, service_account;

  bool present() const { return !principal.empty(); }
};

struct RequestAttributes {
  PeerView source;
  IpAddress source_ip;  // of the original client
  IpAddress remote_ip;  // after X-Forwarded-For; else the same
  IpAddress destination_ip;
  uint16_t destination_port = 0;                // of the workload
  std::string_view sni;                         // empty: none
  const route::RequestView* request = nullptr;  // null: TCP
  const Token* token = nullptr;                 // null: no valid token
};

// What a policy said, by names that outlive the PolicySet only with it.
struct PolicyHit {
  std::string_view ns, name;
  uint32_t rule = 0;
};

struct Verdict {
  bool allowed = true;
  // Which policy decided: the one that denied or allowed; `name` empty: no policy applies, or (when
  // denied) no ALLOW policy matched.
  PolicyHit by;
  std::string_view why;  // of a policy that cannot be enforced as written
  std::vector<PolicyHit> audited;
  // What the dry-run policies would have said, by the same order of steps.
  bool dry_run_denied = false;
  PolicyHit dry_run_by;

  // rbac_access_denied_matched_policy[ns[<ns>]-policy[<name>]-rule[<index>]], or [none].
  std::string Detail() const;
};

// The policies that are in force for a target.
class PolicySet {
 public:
  PolicySet() = default;  // none: everything is allowed
  explicit PolicySet(std::vector<PolicyRef> policies);

  bool empty() const { return policies_.empty(); }
  std::span<const PolicyRef> policies() const { return policies_; }

 private:
  friend Verdict Check(const PolicySet& set, const RequestAttributes& request);
  std::vector<PolicyRef> policies_;
  std::vector<const Policy*> deny_, allow_, audit_, dry_deny_, dry_allow_;
};

// DENY, then ALLOW, then: allowed when there is no ALLOW policy. For TCP (`request` null) the HTTP
// attributes of DENY rules are ignored, and ALLOW rules that have some are left out.
Verdict Check(const PolicySet& set, const RequestAttributes& request);

}  // namespace mesh::filter

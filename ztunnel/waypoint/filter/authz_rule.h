// One rule of a policy: sources, operations and conditions.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ztunnel/waypoint/filter/authz.h"
#include "ztunnel/waypoint/filter/authz_match.h"

namespace mesh::l7::v1 {
class Policy;
class Rule;
}  // namespace mesh::l7::v1

namespace mesh::filter {

// A list and its "not" twin: one of the first (when there are any) and none of the second.
template <typename Set>
struct Both {
  Set wanted, unwanted;

  bool empty() const { return wanted.empty() && unwanted.empty(); }
  template <typename... Value>
  bool Accepts(const Value&... value) const {
    return (wanted.empty() || wanted.Matches(value...)) &&
           (unwanted.empty() || !unwanted.Matches(value...));
  }
};

struct SourceMatch {
  Both<TextSet> principals, namespaces, trust_domains;
  Both<AccountSet> service_accounts;
  Both<authz::CidrMatcher> ip_blocks, remote_ip_blocks;
  Both<RequestPrincipalSet> request_principals;  // HTTP

  bool has_http() const { return !request_principals.empty(); }
  bool Accepts(const RequestAttributes& request) const;
};

struct OperationMatch {
  Both<PortSet> ports;
  Both<TextSet> hosts, methods;  // HTTP
  Both<PathSet> paths;           // HTTP

  bool has_http() const { return !hosts.empty() || !methods.empty() || !paths.empty(); }
  bool Accepts(const RequestAttributes& request) const;
};

struct ConditionMatch {
  int attribute = 0;  // l7::v1::Condition::Attribute
  std::string name;   // of a header
  std::vector<std::string> claim;
  Both<TextSet> values;
  Both<AccountSet> accounts;
  Both<RequestPrincipalSet> request_principals;
  Both<authz::CidrMatcher> blocks;
  Both<PortSet> ports;

  bool has_http() const;
  bool Accepts(const RequestAttributes& request) const;
};

struct Rule {
  std::vector<SourceMatch> from;
  std::vector<OperationMatch> to;
  std::vector<ConditionMatch> when;
  bool has_http = false;

  static absl::StatusOr<Rule> Compile(const l7::v1::Rule& rule);
  // For TCP HTTP attributes count as if they were not written.
  bool Accepts(const RequestAttributes& request) const;
};

absl::StatusOr<std::vector<Rule>> CompileRules(const l7::v1::Policy& policy);

}  // namespace mesh::filter

#include <algorithm>
#include <type_traits>

#include "proto/l7_policy.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/filter/authz_rule.h"
#include "ztunnel/waypoint/http/header_map.h"
#include "ztunnel/waypoint/route/compile.h"

namespace mesh::filter {
namespace {

using l7::v1::Condition;

constexpr int kMaxRules = 512;

// Compiles a list of the message into `out`, with the list's name in the error.
template <typename Set, typename List>
absl::Status Fill(const List& list, std::string_view what, Set& out) {
  absl::StatusOr<Set> set = [&] {
    if constexpr (std::is_same_v<Set, authz::CidrMatcher>)
      return CompileCidrs(list);
    else
      return Set::Compile(list);
  }();
  if (!set.ok()) return WithContext(set.status(), what);
  out = *std::move(set);
  return absl::OkStatus();
}

absl::Status FillAccounts(const google::protobuf::RepeatedPtrField<std::string>& list,
                          std::string_view what, AccountSet& out) {
  for (int i = 0; i < list.size(); ++i)
    RETURN_IF_ERROR(WithContext(out.Add(list[i]), fmt::format("{}[{}]", what, i)));
  return absl::OkStatus();
}

// A list and its twin, which has the same name with not_ before it.
#define FILL_BOTH(message, field, out)                            \
  RETURN_IF_ERROR(Fill((message).field(), #field, (out).wanted)); \
  RETURN_IF_ERROR(Fill((message).not_##field(), "not_" #field, (out).unwanted))

absl::StatusOr<SourceMatch> CompileSource(const l7::v1::Source& source) {
  SourceMatch out;
  FILL_BOTH(source, principals, out.principals);
  FILL_BOTH(source, request_principals, out.request_principals);
  FILL_BOTH(source, namespaces, out.namespaces);
  FILL_BOTH(source, trust_domains, out.trust_domains);
  FILL_BOTH(source, ip_blocks, out.ip_blocks);
  FILL_BOTH(source, remote_ip_blocks, out.remote_ip_blocks);
  RETURN_IF_ERROR(
      FillAccounts(source.service_accounts(), "service_accounts", out.service_accounts.wanted));
  RETURN_IF_ERROR(FillAccounts(source.not_service_accounts(), "not_service_accounts",
                               out.service_accounts.unwanted));
  return out;
}

absl::StatusOr<OperationMatch> CompileOperation(const l7::v1::Operation& operation) {
  OperationMatch out;
  FILL_BOTH(operation, hosts, out.hosts);
  FILL_BOTH(operation, ports, out.ports);
  FILL_BOTH(operation, methods, out.methods);
  FILL_BOTH(operation, paths, out.paths);
  return out;
}

absl::Status FillExactAccounts(const google::protobuf::RepeatedPtrField<l7::v1::StringMatch>& list,
                               std::string_view what, AccountSet& out) {
  for (int i = 0; i < list.size(); ++i) {
    if (list[i].how_case() != l7::v1::StringMatch::kExact || list[i].ignore_case())
      return Invalid("{}[{}]: a service account is exact", what, i);
    RETURN_IF_ERROR(WithContext(out.Add(list[i].exact()), fmt::format("{}[{}]", what, i)));
  }
  return absl::OkStatus();
}

// Which lists an attribute is compared with.
enum class Kind : uint8_t { kText, kBlocks, kPorts, kAccounts, kRequestPrincipals, kUnknown };

Kind KindOf(int attribute) {
  switch (attribute) {
    case Condition::SOURCE_IP:
    case Condition::REMOTE_IP:
    case Condition::DESTINATION_IP:
      return Kind::kBlocks;
    case Condition::DESTINATION_PORT:
      return Kind::kPorts;
    case Condition::SOURCE_SERVICE_ACCOUNT:
      return Kind::kAccounts;
    case Condition::REQUEST_PRINCIPAL:
      return Kind::kRequestPrincipals;
    default:
      return Condition::Attribute_IsValid(attribute) ? Kind::kText : Kind::kUnknown;
  }
}

absl::Status FillCondition(const Condition& condition, ConditionMatch& out) {
  switch (KindOf(condition.attribute())) {
    case Kind::kText:
      FILL_BOTH(condition, values, out.values);
      return absl::OkStatus();
    case Kind::kBlocks:
      FILL_BOTH(condition, blocks, out.blocks);
      return absl::OkStatus();
    case Kind::kPorts:
      FILL_BOTH(condition, ports, out.ports);
      return absl::OkStatus();
    case Kind::kAccounts:
      RETURN_IF_ERROR(FillExactAccounts(condition.values(), "values", out.accounts.wanted));
      return FillExactAccounts(condition.not_values(), "not_values", out.accounts.unwanted);
    case Kind::kRequestPrincipals:
      RETURN_IF_ERROR(Fill(condition.values(), "values", out.request_principals.wanted));
      return Fill(condition.not_values(), "not_values", out.request_principals.unwanted);
    case Kind::kUnknown:
      break;
  }
  return Invalid("attribute: {}", static_cast<int>(condition.attribute()));
}

absl::StatusOr<ConditionMatch> CompileCondition(const Condition& condition) {
  ConditionMatch out;
  out.attribute = condition.attribute();
  RETURN_IF_ERROR(FillCondition(condition, out));
  const int lists = condition.values_size() + condition.not_values_size() +
                    condition.blocks_size() + condition.not_blocks_size() + condition.ports_size() +
                    condition.not_ports_size();
  const bool nothing = out.values.empty() && out.blocks.empty() && out.ports.empty() &&
                       out.accounts.empty() && out.request_principals.empty();
  if (lists == 0 || nothing) return Invalid("no values that its attribute is compared with");
  if (out.attribute == Condition::HEADER) {
    out.name = route::Lower(condition.name());
    if (!http::IsFieldName(out.name)) return Invalid("name: \"{}\"", condition.name());
  }
  if (out.attribute == Condition::CLAIM) {
    if (condition.claim().empty()) return Invalid("claim: empty");
    out.claim.assign(condition.claim().begin(), condition.claim().end());
  }
  return out;
}

template <typename Out, typename List, typename Compile>
absl::Status CompileList(const List& list, std::string_view what, const Compile& compile,
                         std::vector<Out>& out) {
  for (int i = 0; i < list.size(); ++i) {
    ASSIGN_OR_RETURN(Out one, WithContext(compile(list[i]), fmt::format("{}[{}]", what, i)));
    out.push_back(std::move(one));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Rule> Rule::Compile(const l7::v1::Rule& rule) {
  Rule out;
  RETURN_IF_ERROR(CompileList(rule.from(), "from", CompileSource, out.from));
  RETURN_IF_ERROR(CompileList(rule.to(), "to", CompileOperation, out.to));
  RETURN_IF_ERROR(CompileList(rule.when(), "when", CompileCondition, out.when));
  const auto has_http = [](const auto& match) { return match.has_http(); };
  out.has_http = std::any_of(out.from.begin(), out.from.end(), has_http) ||
                 std::any_of(out.to.begin(), out.to.end(), has_http) ||
                 std::any_of(out.when.begin(), out.when.end(), has_http);
  return out;
}

absl::StatusOr<std::vector<Rule>> CompileRules(const l7::v1::Policy& policy) {
  if (policy.rules_size() > kMaxRules) return Invalid("rules: {} of them", policy.rules_size());
  std::vector<Rule> out;
  RETURN_IF_ERROR(CompileList(policy.rules(), "rules", Rule::Compile, out));
  return out;
}

}  // namespace mesh::filter

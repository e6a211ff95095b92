#include "agent/controller/translate/authorization.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <set>

#include "agent/controller/translate/policy_target.h"
#include "agent/k8s/labels.h"
#include "ztunnel/base/ip.h"

namespace mesh::controller {
namespace {

namespace sec = istio::security;
using Spec = api::AuthorizationPolicySpec;
using Strings = google::protobuf::RepeatedPtrField<std::string>;
using StringMatches = google::protobuf::RepeatedPtrField<sec::StringMatch>;
using Addresses = google::protobuf::RepeatedPtrField<sec::Address>;
using Ports = google::protobuf::RepeatedField<uint32_t>;
using Accounts = google::protobuf::RepeatedPtrField<sec::ServiceAccountMatch>;

void AddStrings(const Strings& values, StringMatches* out) {
  for (const std::string& value : values) {
    sec::StringMatch& match = *out->Add();
    if (value == "*") {
      match.mutable_presence();
    } else if (value.front() == '*') {
      match.set_suffix(value.substr(1));
    } else if (value.back() == '*') {
      match.set_prefix(value.substr(0, value.size() - 1));
    } else {
      match.set_exact(value);
    }
  }
}

void AddAddresses(const Strings& values, Addresses* out) {
  for (const std::string& value : values) {
    const auto prefix = IpPrefix::Parse(value);
    if (!prefix) continue;  // validation let none through
    out->Add()->set_address(prefix->address.ToBytes());
    out->rbegin()->set_length(prefix->length);
  }
}

void AddPorts(const Strings& values, Ports* out) {
  for (const std::string& value : values) {
    uint32_t port = 0;
    std::from_chars(value.data(), value.data() + value.size(), port);
    out->Add(port);
  }
}

void AddAccounts(const Strings& values, const std::string& ns, Accounts* out) {
  for (const std::string& value : values) {
    const size_t slash = value.find('/');
    sec::ServiceAccountMatch& match = *out->Add();
    match.set_namespace_(slash == std::string::npos ? ns : value.substr(0, slash));
    match.set_serviceaccount(slash == std::string::npos ? value : value.substr(slash + 1));
  }
}

// An empty match is true of nothing.
bool HasEmptyMatch(const sec::Group& group) {
  for (const sec::Rules& rules : group.rules()) {
    for (const sec::Match& match : rules.matches()) {
      if (match.ByteSizeLong() == 0) return true;
    }
  }
  return false;
}

class Translator {
 public:
  explicit Translator(const api::AuthorizationPolicy& policy) : policy_(policy) {}

  void AddGroups(sec::Authorization& out) {
    for (const api::AuthorizationRule& rule : policy_.spec().rules()) {
      const size_t seen = l7_uses_;
      sec::Group group;
      AddTo(rule, group);
      AddFrom(rule, group);
      for (const api::RuleCondition& when : rule.when()) AddWhen(when, group);
      // An ALLOW rule that asks for more than can be checked here allows nothing.
      const bool has_l7 = l7_uses_ != seen;
      if (has_l7 && policy_.spec().action() == Spec::ALLOW) continue;
      if (has_l7 && HasEmptyMatch(group)) ++weakened_;
      *out.add_groups() = std::move(group);
    }
  }

  const std::set<std::string>& l7() const { return l7_; }
  size_t weakened() const { return weakened_; }

 private:
  void NoteL7(const char* name, const Strings& values) {
    if (values.empty()) return;
    l7_.insert(name);
    ++l7_uses_;
  }

  void AddTo(const api::AuthorizationRule& rule, sec::Group& group) {
    if (rule.to().empty()) return;
    sec::Rules& rules = *group.add_rules();
    for (const api::RuleTo& to : rule.to()) {
      const api::Operation& op = to.operation();
      NoteL7("hosts", op.hosts());
      NoteL7("notHosts", op.not_hosts());
      NoteL7("methods", op.methods());
      NoteL7("notMethods", op.not_methods());
      NoteL7("paths", op.paths());
      NoteL7("notPaths", op.not_paths());
      sec::Match& match = *rules.add_matches();
      AddPorts(op.ports(), match.mutable_destination_ports());
      AddPorts(op.not_ports(), match.mutable_not_destination_ports());
    }
  }

  void AddFrom(const api::AuthorizationRule& rule, sec::Group& group) {
    if (rule.from().empty()) return;
    sec::Rules& rules = *group.add_rules();
    const std::string& ns = policy_.metadata().namespace_();
    for (const api::RuleFrom& from : rule.from()) {
      const api::Source& source = from.source();
      NoteL7("requestPrincipals", source.request_principals());
      NoteL7("notRequestPrincipals", source.not_request_principals());
      NoteL7("remoteIpBlocks", source.remote_ip_blocks());
      NoteL7("notRemoteIpBlocks", source.not_remote_ip_blocks());
      NoteL7("trustDomains", source.trust_domains());
      NoteL7("notTrustDomains", source.not_trust_domains());
      sec::Match& match = *rules.add_matches();
      AddStrings(source.namespaces(), match.mutable_namespaces());
      AddStrings(source.not_namespaces(), match.mutable_not_namespaces());
      AddStrings(source.principals(), match.mutable_principals());
      AddStrings(source.not_principals(), match.mutable_not_principals());
      AddAddresses(source.ip_blocks(), match.mutable_source_ips());
      AddAddresses(source.not_ip_blocks(), match.mutable_not_source_ips());
      AddAccounts(source.service_accounts(), ns, match.mutable_service_accounts());
      AddAccounts(source.not_service_accounts(), ns, match.mutable_not_service_accounts());
    }
  }

  void AddWhen(const api::RuleCondition& when, sec::Group& group) {
    sec::Match& match = *group.add_rules()->add_matches();
    const std::string& key = when.key();
    if (key == "source.ip") {
      AddAddresses(when.values(), match.mutable_source_ips());
      AddAddresses(when.not_values(), match.mutable_not_source_ips());
    } else if (key == "source.namespace") {
      AddStrings(when.values(), match.mutable_namespaces());
      AddStrings(when.not_values(), match.mutable_not_namespaces());
    } else if (key == "source.principal") {
      AddStrings(when.values(), match.mutable_principals());
      AddStrings(when.not_values(), match.mutable_not_principals());
    } else if (key == "destination.ip") {
      AddAddresses(when.values(), match.mutable_destination_ips());
      AddAddresses(when.not_values(), match.mutable_not_destination_ips());
    } else if (key == "destination.port") {
      AddPorts(when.values(), match.mutable_destination_ports());
      AddPorts(when.not_values(), match.mutable_not_destination_ports());
    } else {
      l7_.insert(key);
      ++l7_uses_;
    }
  }

  const api::AuthorizationPolicy& policy_;
  std::set<std::string> l7_;  // attributes that only an L7 proxy can check
  size_t l7_uses_ = 0;
  size_t weakened_ = 0;  // DENY rules of which a part was HTTP alone
};

api::Condition MakeCondition(const api::AuthorizationPolicy& policy, bool accepted,
                             std::string reason, std::string message) {
  api::Condition condition;
  condition.set_type("ZtunnelAccepted");
  condition.set_status(accepted ? "True" : "False");
  condition.set_reason(std::move(reason));
  condition.set_message(std::move(message));
  condition.set_observed_generation(policy.metadata().generation());
  return condition;
}

}  // namespace

TranslatedPolicy TranslateAuthorization(const api::AuthorizationPolicy& policy,
                                        const Settings& settings) {
  const Spec& spec = policy.spec();
  const auto& meta = policy.metadata();
  if (HasTargets(policy)) return {};
  if (spec.action() != Spec::ALLOW && spec.action() != Spec::DENY) {
    return {std::nullopt,
            MakeCondition(policy, false, "UnsupportedValue",
                          fmt::format("ztunnel does not support the {} action",
                                      Spec::Action_Name(spec.action()))),
            spec.action() == Spec::CUSTOM};
  }
  const bool dry_run = k8s::ValueOf(meta.annotations(), "istio.io/dry-run") == "true";
  if (dry_run && !settings.dry_run_policies) {
    return {
        std::nullopt,
        MakeCondition(policy, false, "UnsupportedValue",
                      fmt::format("found policy \"{}/{}\" using dry-run annotation, but support "
                                  "for ambient dry-run authorizationPolicies isn't enabled",
                                  meta.namespace_(), meta.name())),
        false};
  }
  sec::Authorization out;
  out.set_name(meta.name());
  out.set_namespace_(meta.namespace_());
  out.set_dry_run(dry_run);
  out.set_action(spec.action() == Spec::DENY ? sec::DENY : sec::ALLOW);
  if (!spec.selector().match_labels().empty()) {
    out.set_scope(sec::WORKLOAD_SELECTOR);
  } else {
    out.set_scope(meta.namespace_() == settings.root_namespace ? sec::GLOBAL : sec::NAMESPACE);
  }
  Translator translator(policy);
  translator.AddGroups(out);
  if (translator.l7().empty()) {
    return {std::move(out), MakeCondition(policy, true, "Accepted", "attached to ztunnel"), false};
  }
  std::string consequence =
      "DENY policy with HTTP attributes is enforced without the HTTP rules. This will be more "
      "restrictive than requested.";
  if (spec.action() == Spec::ALLOW) {
    consequence =
        "Within an ALLOW policy, rules matching HTTP attributes are omitted. This will be more "
        "restrictive than requested.";
  } else if (translator.weakened() != 0) {
    consequence = fmt::format(
        "In {} of {} DENY rules a part names HTTP attributes alone and denies nothing. This will "
        "be LESS restrictive than requested.",
        translator.weakened(), spec.rules_size());
  }
  return {
      std::move(out),
      MakeCondition(policy, true, "UnsupportedValue",
                    fmt::format("ztunnel does not support HTTP attributes (found: {}). In ambient "
                                "mode you must use a waypoint proxy to enforce HTTP rules. {}",
                                fmt::join(translator.l7(), ", "), consequence)),
      !dry_run};
}

}  // namespace mesh::controller

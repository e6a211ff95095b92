#include "agent/controller/l7/policy.h"

#include <absl/strings/numbers.h>
#include <fmt/format.h>
#include <re2/re2.h>

#include "agent/k8s/labels.h"
#include "ztunnel/base/ip.h"

namespace mesh::controller {
namespace {

namespace l7 = mesh::l7::v1;
using Spec = api::AuthorizationPolicySpec;
using Strings = google::protobuf::RepeatedPtrField<std::string>;
using Matches = google::protobuf::RepeatedPtrField<l7::StringMatch>;
using Cidrs = google::protobuf::RepeatedPtrField<l7::Cidr>;
using Ports = google::protobuf::RepeatedField<uint32_t>;

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// abc, abc*, *abc, * (present).
void SetMatch(const std::string& value, l7::StringMatch& out) {
  if (value == "*") {
    out.set_present(true);
  } else if (value.front() == '*') {
    out.set_suffix(value.substr(1));
  } else if (value.back() == '*') {
    out.set_prefix(value.substr(0, value.size() - 1));
  } else {
    out.set_exact(value);
  }
}

void AddMatches(const Strings& values, Matches* out, bool ignore_case = false) {
  for (const std::string& value : values) {
    l7::StringMatch& match = *out->Add();
    SetMatch(value, match);
    match.set_ignore_case(ignore_case);
  }
}

// Every star is a wildcard in namespaces.
void AddNamespaces(const Strings& values, Matches* out) {
  for (const std::string& value : values) {
    l7::StringMatch& match = *out->Add();
    const size_t star = value.find('*');
    const bool one = star == std::string::npos || star + 1 == value.size() ||
                     (star == 0 && value.find('*', 1) == std::string::npos);
    if (one) {
      SetMatch(value, match);
      continue;
    }
    std::string regex = RE2::QuoteMeta(value);
    RE2::GlobalReplace(&regex, R"(\\\*)", ".*");
    match.set_regex(regex);
  }
}

void AddCidrs(const Strings& values, Cidrs* out) {
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
    if (absl::SimpleAtoi(value, &port)) out->Add(port);
  }
}

void AddPaths(const Strings& values, google::protobuf::RepeatedPtrField<l7::PathMatch>* out) {
  for (const std::string& value : values) {
    l7::PathMatch& match = *out->Add();
    if (value.find("{*}") != std::string::npos || value.find("{**}") != std::string::npos) {
      match.set_template_(value);
    } else if (value == "*") {
      match.set_present(true);
    } else if (value.front() == '*') {
      match.set_suffix(value.substr(1));
    } else if (value.back() == '*') {
      match.set_prefix(value.substr(0, value.size() - 1));
    } else {
      match.set_exact(value);
    }
  }
}

// a[b][c] -> b, c.
std::vector<std::string> BracketsOf(std::string_view key) {
  std::vector<std::string> parts;
  for (size_t open = key.find('['); open != std::string_view::npos; open = key.find('[', open)) {
    const size_t close = key.find(']', open);
    if (close == std::string_view::npos) break;
    parts.emplace_back(key.substr(open + 1, close - open - 1));
    open = close;
  }
  return parts;
}

class Translator {
 public:
  Translator(const api::AuthorizationPolicy& policy, const Settings& settings)
      : ns_(policy.metadata().namespace_()), settings_(settings) {}

  void Translate(const api::AuthorizationRule& rule, l7::Rule& out) {
    for (const api::RuleFrom& from : rule.from()) TranslateSource(from.source(), *out.add_from());
    for (const api::RuleTo& to : rule.to()) TranslateOperation(to.operation(), *out.add_to());
    for (const api::RuleCondition& when : rule.when()) TranslateWhen(when, *out.add_when());
  }

 private:
  // cluster.local stands for the trust domain of this mesh.
  Strings Principals(Strings values) const {
    constexpr std::string_view kDefault = "cluster.local/";
    for (std::string& value : values) {
      if (StartsWith(value, kDefault)) {
        value = settings_.trust_domain + "/" + value.substr(kDefault.size());
      }
    }
    return values;
  }

  std::string AccountOf(const std::string& value) const {
    return value.find('/') == std::string::npos ? ns_ + "/" + value : value;
  }

  void TranslateSource(const api::Source& source, l7::Source& out) {
    AddMatches(Principals(source.principals()), out.mutable_principals());
    AddMatches(Principals(source.not_principals()), out.mutable_not_principals());
    AddMatches(source.request_principals(), out.mutable_request_principals());
    AddMatches(source.not_request_principals(), out.mutable_not_request_principals());
    AddNamespaces(source.namespaces(), out.mutable_namespaces());
    AddNamespaces(source.not_namespaces(), out.mutable_not_namespaces());
    for (const std::string& value : source.service_accounts()) {
      out.add_service_accounts(AccountOf(value));
    }
    for (const std::string& value : source.not_service_accounts()) {
      out.add_not_service_accounts(AccountOf(value));
    }
    AddCidrs(source.ip_blocks(), out.mutable_ip_blocks());
    AddCidrs(source.not_ip_blocks(), out.mutable_not_ip_blocks());
    AddCidrs(source.remote_ip_blocks(), out.mutable_remote_ip_blocks());
    AddCidrs(source.not_remote_ip_blocks(), out.mutable_not_remote_ip_blocks());
    AddMatches(source.trust_domains(), out.mutable_trust_domains());
    AddMatches(source.not_trust_domains(), out.mutable_not_trust_domains());
  }

  void TranslateOperation(const api::Operation& operation, l7::Operation& out) {
    AddMatches(operation.hosts(), out.mutable_hosts(), true);
    AddMatches(operation.not_hosts(), out.mutable_not_hosts(), true);
    AddPorts(operation.ports(), out.mutable_ports());
    AddPorts(operation.not_ports(), out.mutable_not_ports());
    AddMatches(operation.methods(), out.mutable_methods());
    AddMatches(operation.not_methods(), out.mutable_not_methods());
    AddPaths(operation.paths(), out.mutable_paths());
    AddPaths(operation.not_paths(), out.mutable_not_paths());
  }

  void TranslateWhen(const api::RuleCondition& when, l7::Condition& out) {
    using C = l7::Condition;
    const std::string& key = when.key();
    if (key == "source.ip" || key == "remote.ip" || key == "destination.ip") {
      out.set_attribute(key == "source.ip"   ? C::SOURCE_IP
                        : key == "remote.ip" ? C::REMOTE_IP
                                             : C::DESTINATION_IP);
      AddCidrs(when.values(), out.mutable_blocks());
      AddCidrs(when.not_values(), out.mutable_not_blocks());
    } else if (key == "destination.port") {
      out.set_attribute(C::DESTINATION_PORT);
      AddPorts(when.values(), out.mutable_ports());
      AddPorts(when.not_values(), out.mutable_not_ports());
    } else if (key == "source.serviceAccount") {
      out.set_attribute(C::SOURCE_SERVICE_ACCOUNT);
      for (const auto& value : when.values()) out.add_values()->set_exact(AccountOf(value));
      for (const auto& value : when.not_values()) out.add_not_values()->set_exact(AccountOf(value));
    } else if (key == "source.namespace") {
      out.set_attribute(C::SOURCE_NAMESPACE);
      AddNamespaces(when.values(), out.mutable_values());
      AddNamespaces(when.not_values(), out.mutable_not_values());
    } else if (key == "source.principal") {
      out.set_attribute(C::SOURCE_PRINCIPAL);
      AddMatches(Principals(when.values()), out.mutable_values());
      AddMatches(Principals(when.not_values()), out.mutable_not_values());
    } else {
      TranslateText(key, out);
      AddMatches(when.values(), out.mutable_values());
      AddMatches(when.not_values(), out.mutable_not_values());
    }
  }

  static void TranslateText(const std::string& key, l7::Condition& out) {
    using C = l7::Condition;
    const std::vector<std::string> parts = BracketsOf(key);
    if (StartsWith(key, "request.headers")) {
      out.set_attribute(C::HEADER);
      std::string name = parts.empty() ? "" : parts.front();
      for (char& c : name) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      }
      out.set_name(name);
    } else if (StartsWith(key, "request.auth.claims")) {
      out.set_attribute(C::CLAIM);
      for (const std::string& part : parts) out.add_claim(part);
    } else if (key == "source.trustDomain") {
      out.set_attribute(C::SOURCE_TRUST_DOMAIN);
    } else if (key == "request.auth.principal") {
      out.set_attribute(C::REQUEST_PRINCIPAL);
    } else if (key == "request.auth.audiences") {
      out.set_attribute(C::AUDIENCE);
    } else if (key == "request.auth.presenter") {
      out.set_attribute(C::PRESENTER);
    } else if (key == "connection.sni") {
      out.set_attribute(C::SNI);
    }
  }

  const std::string& ns_;
  const Settings& settings_;
};

}  // namespace

std::string UnenforceableIn(const api::AuthorizationPolicy& policy) {
  for (int i = 0; i < policy.spec().rules_size(); ++i) {
    for (const api::RuleCondition& when : policy.spec().rules(i).when()) {
      if (!StartsWith(when.key(), "experimental.")) continue;
      return fmt::format("spec.rules[{}]: {} is not known here", i, when.key());
    }
  }
  return "";
}

l7::Policy TranslatePolicy(const api::AuthorizationPolicy& policy, const Settings& settings) {
  const Spec& spec = policy.spec();
  const api::ObjectMeta& meta = policy.metadata();
  l7::Policy out;
  out.set_namespace_(meta.namespace_());
  out.set_name(meta.name());
  out.set_dry_run(k8s::ValueOf(meta.annotations(), "istio.io/dry-run") == "true");
  out.set_action(spec.action() == Spec::ALLOW   ? l7::Policy::ALLOW
                 : spec.action() == Spec::AUDIT ? l7::Policy::AUDIT
                                                : l7::Policy::DENY);
  out.set_deny_everything(UnenforceableIn(policy));
  Translator translator(policy, settings);
  for (const api::AuthorizationRule& rule : spec.rules()) {
    translator.Translate(rule, *out.add_rules());
  }
  return out;
}

}  // namespace mesh::controller

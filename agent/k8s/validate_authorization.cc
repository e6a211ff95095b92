// The rules of AuthorizationPolicy, in the order of its fields.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "agent/k8s/validate.h"
#include "ztunnel/base/ip.h"

namespace mesh::k8s {
namespace {

using Strings = google::protobuf::RepeatedPtrField<std::string>;
using Spec = api::AuthorizationPolicySpec;

// All lists of a Source or an Operation with their JSON names, so that rules can run over them.
struct Field {
  std::string_view name;
  const Strings& values;
};

std::array<Field, 14> FieldsOf(const api::Source& s) {
  return {{{"principals", s.principals()},
           {"notPrincipals", s.not_principals()},
           {"requestPrincipals", s.request_principals()},
           {"notRequestPrincipals", s.not_request_principals()},
           {"namespaces", s.namespaces()},
           {"notNamespaces", s.not_namespaces()},
           {"serviceAccounts", s.service_accounts()},
           {"notServiceAccounts", s.not_service_accounts()},
           {"ipBlocks", s.ip_blocks()},
           {"notIpBlocks", s.not_ip_blocks()},
           {"remoteIpBlocks", s.remote_ip_blocks()},
           {"notRemoteIpBlocks", s.not_remote_ip_blocks()},
           {"trustDomains", s.trust_domains()},
           {"notTrustDomains", s.not_trust_domains()}}};
}

std::array<Field, 8> FieldsOf(const api::Operation& o) {
  return {{{"hosts", o.hosts()},
           {"notHosts", o.not_hosts()},
           {"ports", o.ports()},
           {"notPorts", o.not_ports()},
           {"methods", o.methods()},
           {"notMethods", o.not_methods()},
           {"paths", o.paths()},
           {"notPaths", o.not_paths()}}};
}

// Whether the node proxy, which knows no HTTP, can check any of it.
bool HasL4(const api::Source& s) {
  return s.principals_size() + s.not_principals_size() + s.namespaces_size() +
             s.not_namespaces_size() + s.service_accounts_size() + s.not_service_accounts_size() +
             s.ip_blocks_size() + s.not_ip_blocks_size() >
         0;
}
bool HasL4(const api::Operation& o) { return o.ports_size() + o.not_ports_size() > 0; }
bool HasL4(const api::RuleCondition& when) {
  for (std::string_view key : {"source.ip", "source.namespace", "source.principal",
                               "destination.ip", "destination.port"}) {
    if (when.key() == key) return true;
  }
  return false;
}

// A part that is HTTP alone is true of no connection that the node proxy sees.
template <typename Part>
bool IsHttpAlone(const Part& part) {
  return part.ByteSizeLong() != 0 && !HasL4(part);
}

bool DeniesLess(const api::AuthorizationRule& rule) {
  return std::any_of(rule.from().begin(), rule.from().end(),
                     [](const auto& from) { return IsHttpAlone(from.source()); }) ||
         std::any_of(rule.to().begin(), rule.to().end(),
                     [](const auto& to) { return IsHttpAlone(to.operation()); }) ||
         std::any_of(rule.when().begin(), rule.when().end(),
                     [](const auto& when) { return IsHttpAlone(when); });
}

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

class Checker {
 public:
  Checker(const Spec& spec, std::vector<Issue>& issues) : spec_(spec), issues_(issues) {}

  void Check() {
    ValidateTargets(spec_, issues_);
    const bool custom = spec_.action() == Spec::CUSTOM;
    if (custom && spec_.rules().empty()) {
      Error("spec.rules",
            "CUSTOM action without rules is never triggered; an empty rule {} matches "
            "every request");
    }
    if (spec_.action() == Spec::DENY && spec_.rules().empty()) {
      Error("spec.rules",
            "DENY action without rules is never triggered; an empty rule {} matches "
            "every request");
    }
    if (custom && spec_.provider().name().empty()) Error("spec.provider.name", "must not be empty");
    if (!custom && spec_.has_provider()) {
      Error("spec.provider",
            fmt::format("only with action CUSTOM, found {}", Spec::Action_Name(spec_.action())));
    }
    if (spec_.rules_size() > 512) Error("spec.rules", "more than 512 rules");
    for (int i = 0; i < spec_.rules_size(); ++i) {
      CheckRule(spec_.rules(i), fmt::format("spec.rules[{}]", i));
    }
    const bool for_waypoints = spec_.has_target_ref() || !spec_.target_refs().empty();
    if (spec_.action() == Spec::DENY && !for_waypoints) {
      for (int i = 0; i < spec_.rules_size(); ++i) {
        if (!DeniesLess(spec_.rules(i))) continue;
        issues_.push_back({Level::kWarning, fmt::format("spec.rules[{}]", i),
                           "ztunnel denies nothing by what names only HTTP attributes, whatever "
                           "else the rule names; name the source or the port there"});
      }
    } else if (http_only_deny_) {
      issues_.push_back(
          {Level::kWarning, "spec.rules",
           "a DENY rule with only HTTP attributes denies all traffic to TCP ports in its "
           "scope; name the port"});
    }
  }

 private:
  void Error(std::string field, std::string reason) {
    issues_.push_back({Level::kError, std::move(field), std::move(reason)});
  }

  void CheckRule(const api::AuthorizationRule& rule, const std::string& field) {
    bool l4 = rule.from_size() + rule.to_size() + rule.when_size() == 0;
    for (int i = 0; i < rule.from_size(); ++i) {
      const std::string at = fmt::format("{}.from[{}].source", field, i);
      if (!rule.from(i).has_source()) {
        Error(at, "must not be null");
      } else {
        CheckSource(rule.from(i).source(), at, l4);
      }
    }
    for (int i = 0; i < rule.to_size(); ++i) {
      const std::string at = fmt::format("{}.to[{}].operation", field, i);
      if (!rule.to(i).has_operation()) {
        Error(at, "must not be null");
      } else {
        CheckOperation(rule.to(i).operation(), at, l4);
      }
    }
    for (int i = 0; i < rule.when_size(); ++i) {
      CheckCondition(rule.when(i), fmt::format("{}.when[{}]", field, i), l4);
    }
    if (spec_.action() == Spec::DENY && !l4) http_only_deny_ = true;
  }

  void CheckSource(const api::Source& source, const std::string& field, bool& l4) {
    bool any = false;
    for (const Field& list : FieldsOf(source)) {
      if (list.values.empty()) continue;
      any = true;
      const std::string at = fmt::format("{}.{}", field, list.name);
      if (list.name != "requestPrincipals" && list.name != "notRequestPrincipals") l4 = true;
      if (spec_.action() == Spec::CUSTOM && list.name.find("pBlocks") == std::string_view::npos) {
        Error(at, "not supported with CUSTOM action");
      }
      for (int i = 0; i < list.values.size(); ++i) {
        CheckSourceValue(list.name, list.values[i], fmt::format("{}[{}]", at, i));
      }
      if (list.name.find("ccounts") != std::string_view::npos && list.values.size() > 16) {
        Error(at, "more than 16 values");
      }
    }
    if (!any) Error(field, "must have at least one field");
    const bool accounts = source.service_accounts_size() + source.not_service_accounts_size() > 0;
    if (accounts && source.principals_size() + source.not_principals_size() +
                            source.namespaces_size() + source.not_namespaces_size() >
                        0) {
      Error(field, "cannot set serviceAccounts with namespaces or principals");
    }
  }

  void CheckSourceValue(std::string_view list, std::string_view value, const std::string& field) {
    if (value.empty()) return Error(field, "empty value not allowed");
    if (list.find("pBlocks") != std::string_view::npos && !IpPrefix::Parse(value)) {
      Error(field, fmt::format("\"{}\" is no IP address or CIDR range", value));
    }
    if (list.find("ccounts") != std::string_view::npos) CheckServiceAccount(value, field);
    if (list.find("rustDomains") != std::string_view::npos) CheckTrustDomain(value, field);
  }

  void CheckServiceAccount(std::string_view value, const std::string& field) {
    if (value.find('*') != std::string_view::npos) Error(field, "wildcard not allowed");
    if (value.size() > 320) Error(field, "longer than 320 characters");
    const size_t slash = value.find('/');
    if (slash == std::string_view::npos) return;
    if (value.find('/', slash + 1) != std::string_view::npos || slash == 0 ||
        slash + 1 == value.size()) {
      Error(field, fmt::format("\"{}\" must be NAME or NAMESPACE/NAME", value));
    }
  }

  void CheckTrustDomain(std::string_view value, const std::string& field) {
    if (value.find('/') != std::string_view::npos) Error(field, "a trust domain has no /");
    const size_t star = value.find('*');
    if (star == std::string_view::npos) return;
    if (value.find('*', star + 1) != std::string_view::npos) Error(field, "more than one wildcard");
    if (star != 0 && star + 1 != value.size()) Error(field, "a wildcard stands first or last");
  }

  void CheckOperation(const api::Operation& operation, const std::string& field, bool& l4) {
    bool any = false;
    for (const Field& list : FieldsOf(operation)) {
      if (list.values.empty()) continue;
      any = true;
      const bool ports = list.name == "ports" || list.name == "notPorts";
      const bool paths = list.name == "paths" || list.name == "notPaths";
      if (ports) l4 = true;
      for (int i = 0; i < list.values.size(); ++i) {
        const std::string at = fmt::format("{}.{}[{}]", field, list.name, i);
        if (list.values[i].empty()) Error(at, "empty value not allowed");
        if (ports) CheckPort(list.values[i], at);
        if (paths) CheckPath(list.values[i], at);
      }
    }
    if (!any) Error(field, "must have at least one field");
  }

  void CheckPort(std::string_view value, const std::string& field) {
    uint32_t port = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), port);
    if (error != std::errc() || end != value.data() + value.size() || port > 65535) {
      Error(field, fmt::format("bad port \"{}\": must be in range 0..65535", value));
    }
  }

  // Templates: {*} is one segment, {**} any number; nothing mixes with them inside a segment, and
  // nothing of the kind follows {**}.
  void CheckPath(std::string_view path, const std::string& field) {
    if (path.find("{*}") == std::string_view::npos && path.find("{**}") == std::string_view::npos) {
      if (path.find_first_of("{}") != std::string_view::npos) {
        Error(field, fmt::format("\"{}\": braces only as {{*}} or {{**}}", path));
      }
      return;
    }
    bool ended = false;
    for (size_t begin = path.empty() || path[0] != '/' ? 0 : 1; begin <= path.size();) {
      size_t end = path.find('/', begin);
      if (end == std::string_view::npos) end = path.size();
      const std::string_view segment = path.substr(begin, end - begin);
      begin = end + 1;
      const bool op = segment == "{*}" || segment == "{**}";
      if (op && ended) Error(field, fmt::format("\"{}\": {{**}} must be the last operator", path));
      if (segment == "{**}") ended = true;
      if (!op && segment.find_first_of("*{}") != std::string_view::npos) {
        Error(field,
              fmt::format("\"{}\" contains segment {} with invalid string literal", path, segment));
      }
    }
  }

  void CheckCondition(const api::RuleCondition& when, const std::string& field, bool& l4) {
    const std::string& key = when.key();
    if (key.empty()) return Error(field + ".key", "must not be empty");
    if (when.values().empty() && when.not_values().empty()) {
      Error(field, "at least one of values and notValues must be set");
    }
    if (!CheckKey(key, field + ".key")) return;
    if (StartsWith(key, "source.") || StartsWith(key, "destination.")) l4 = true;
    if (spec_.action() == Spec::CUSTOM &&
        (key == "source.namespace" || key == "source.serviceAccount" ||
         key == "source.trustDomain" || key == "source.principal" ||
         StartsWith(key, "request.auth."))) {
      Error(field + ".key", fmt::format("{} is not supported with CUSTOM action", key));
    }
    CheckValues(key, when.values(), field + ".values");
    CheckValues(key, when.not_values(), field + ".notValues");
  }

  bool CheckKey(std::string_view key, const std::string& field) {
    for (std::string_view known :
         {"source.ip", "remote.ip", "source.namespace", "source.serviceAccount", "source.principal",
          "source.trustDomain", "request.auth.principal", "request.auth.audiences",
          "request.auth.presenter", "destination.ip", "destination.port", "connection.sni"}) {
      if (key == known) return true;
    }
    for (std::string_view prefix :
         {"request.headers", "request.auth.claims", "experimental.envoy.filters."}) {
      if (!StartsWith(key, prefix)) continue;
      const size_t open = key.find('[');
      if (open == std::string_view::npos || key.back() != ']' || key[open + 1] == ']') {
        Error(field, fmt::format("bad key \"{}\": should have format a[b]", key));
        return false;
      }
      return true;
    }
    Error(field, fmt::format("unknown attribute: {}", key));
    return false;
  }

  void CheckValues(std::string_view key, const Strings& values, const std::string& field) {
    for (int i = 0; i < values.size(); ++i) {
      const std::string at = fmt::format("{}[{}]", field, i);
      if (values[i].empty()) {
        Error(at, "empty value not allowed");
      } else if (key == "source.ip" || key == "remote.ip" || key == "destination.ip") {
        if (!IpPrefix::Parse(values[i])) {
          Error(at, fmt::format("bad IP address \"{}\"", values[i]));
        }
      } else if (key == "destination.port") {
        CheckPort(values[i], at);
      } else if (key == "source.serviceAccount") {
        CheckServiceAccount(values[i], at);
      } else if (key == "source.trustDomain") {
        CheckTrustDomain(values[i], at);
      }
    }
  }

  const Spec& spec_;
  std::vector<Issue>& issues_;
  bool http_only_deny_ = false;
};

}  // namespace

void ValidateAuthorizationPolicy(const api::AuthorizationPolicy& policy,
                                 std::vector<Issue>& issues) {
  Checker(policy.spec(), issues).Check();
}

}  // namespace mesh::k8s

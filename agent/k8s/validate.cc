#include "agent/k8s/validate.h"

#include <fmt/format.h>

#include <array>

#include "ztunnel/base/ip.h"

namespace mesh::k8s {
namespace {

void Error(std::vector<Issue>& issues, std::string field, std::string reason) {
  issues.push_back({Level::kError, std::move(field), std::move(reason)});
}

bool IsSecurityKind(Kind kind) {
  return kind == Kind::kPeerAuthentication || kind == Kind::kAuthorizationPolicy ||
         kind == Kind::kRequestAuthentication;
}

void ValidateAnnotations(const Object& object, std::vector<Issue>& issues) {
  for (const auto& [name, value] : object.metadata().annotations()) {
    const std::string field = "metadata.annotations." + name;
    if (IsSecurityKind(object.kind()) && name.rfind("internal.istio.io/", 0) == 0) {
      Error(issues, field, "internal annotations are not for users");
    }
    if (name != "istio.io/dry-run") continue;
    const auto* policy = object.As<api::AuthorizationPolicy>();
    if (policy == nullptr) {
      if (IsSecurityKind(object.kind())) Error(issues, field, "only for AuthorizationPolicy");
    } else if (value != "true" && value != "false") {
      Error(issues, field, fmt::format("must be true or false, not \"{}\"", value));
    } else if (policy->spec().action() != api::AuthorizationPolicySpec::ALLOW &&
               policy->spec().action() != api::AuthorizationPolicySpec::DENY) {
      Error(issues, field,
            fmt::format("only supports action ALLOW/DENY, found action {}",
                        api::AuthorizationPolicySpec::Action_Name(policy->spec().action())));
    }
  }
}

void ValidatePeerAuthentication(const api::PeerAuthentication& object, std::vector<Issue>& issues) {
  const auto& spec = object.spec();
  if (spec.has_selector()) ValidateSelector(spec.selector(), issues);
  if (!spec.port_level_mtls().empty() && spec.selector().match_labels().empty()) {
    Error(issues, "spec.portLevelMtls", "requires a selector with labels");
  }
  for (const auto& [port, mode] : spec.port_level_mtls()) {
    if (port == 0 || port > 65535) {
      Error(issues, fmt::format("spec.portLevelMtls.{}", port), "port must be between 1-65535");
    }
  }
}

void ValidateService(const api::Service& service, std::vector<Issue>& issues) {
  const auto& spec = service.spec();
  for (int i = 0; i < spec.ports_size(); ++i) {
    const api::ServicePort& port = spec.ports(i);
    const std::string field = fmt::format("spec.ports[{}]", i);
    if (port.port() < 1 || port.port() > 65535) {
      Error(issues, field + ".port", fmt::format("must be between 1-65535, not {}", port.port()));
    }
    if (spec.ports_size() > 1 && port.name().empty()) {
      Error(issues, field + ".name", "required when there is more than one port");
    }
    const auto& target = port.target_port();
    if (target.kind_case() == Json::kNumberValue &&
        !(target.number_value() >= 1 && target.number_value() <= 65535)) {
      Error(issues, field + ".targetPort", "must be between 1-65535 or a name");
    }
  }
  for (int i = 0; i < spec.cluster_ips_size(); ++i) {
    if (spec.cluster_ips(i) != "None" && !IpAddress::Parse(spec.cluster_ips(i))) {
      Error(issues, fmt::format("spec.clusterIPs[{}]", i),
            fmt::format("\"{}\" is no IP address", spec.cluster_ips(i)));
    }
  }
  if (spec.type() == "ExternalName" && spec.external_name().empty()) {
    Error(issues, "spec.externalName", "required for type ExternalName");
  }
}

void ValidatePodSpec(const api::PodSpec& spec, const std::string& field,
                     std::vector<Issue>& issues) {
  if (spec.containers().empty()) Error(issues, field + ".containers", "must have at least one");
  for (int i = 0; i < spec.containers_size(); ++i) {
    if (spec.containers(i).name().empty()) {
      Error(issues, fmt::format("{}.containers[{}].name", field, i), "required");
    }
  }
}

void ValidateTarget(const api::PolicyTargetReference& target, const std::string& field,
                    std::vector<Issue>& issues) {
  if (target.name().empty()) Error(issues, field + ".name", "required");
  if (!target.namespace_().empty()) Error(issues, field + ".namespace", "must not be set");
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kKinds = {
      {{"", "Service"},
       {"core", "Service"},
       {"networking.istio.io", "ServiceEntry"},
       {"gateway.networking.k8s.io", "Gateway"},
       {"gateway.networking.k8s.io", "GatewayClass"}}};
  for (const auto& [group, kind] : kKinds) {
    if (target.group() == group && target.kind() == kind) return;
  }
  Error(issues, field + ".kind",
        fmt::format("must be Service, ServiceEntry, Gateway or GatewayClass of their groups, not "
                    "{}/{}",
                    target.group(), target.kind()));
}

}  // namespace

void ValidateSelector(const api::WorkloadSelector& selector, std::vector<Issue>& issues) {
  if (selector.match_labels().empty()) {
    issues.push_back(
        {Level::kWarning, "spec.selector",
         "workload selector specified without labels: it applies to the whole namespace"});
  }
  for (const auto& [key, value] : selector.match_labels()) {
    const std::string field = "spec.selector.matchLabels." + key;
    if (key.empty()) Error(issues, "spec.selector.matchLabels", "a label without a key");
    if (key.find('*') != std::string::npos || value.find('*') != std::string::npos) {
      Error(issues, field, "wildcards are not supported in selectors");
    }
  }
}

void ValidateTargets(const api::WorkloadSelector* selector,
                     const api::PolicyTargetReference* target,
                     const google::protobuf::RepeatedPtrField<api::PolicyTargetReference>& targets,
                     std::vector<Issue>& issues) {
  if ((selector != nullptr) + (target != nullptr) + !targets.empty() > 1) {
    Error(issues, "spec", "only one of selector, targetRef and targetRefs can be set");
  }
  if (selector != nullptr) ValidateSelector(*selector, issues);
  if (target != nullptr) ValidateTarget(*target, "spec.targetRef", issues);
  if (targets.size() > 16) Error(issues, "spec.targetRefs", "more than 16 targets");
  for (int i = 0; i < targets.size(); ++i) {
    ValidateTarget(targets[i], fmt::format("spec.targetRefs[{}]", i), issues);
  }
}

void Validate(const Object& object, std::vector<Issue>& issues) {
  ValidateAnnotations(object, issues);
  if (const auto* peer = object.As<api::PeerAuthentication>()) {
    ValidatePeerAuthentication(*peer, issues);
  } else if (const auto* policy = object.As<api::AuthorizationPolicy>()) {
    ValidateAuthorizationPolicy(*policy, issues);
  } else if (const auto* entry = object.As<api::ServiceEntry>()) {
    ValidateServiceEntry(*entry, issues);
  } else if (const auto* virtual_service = object.As<api::VirtualService>()) {
    ValidateVirtualService(*virtual_service, issues);
  } else if (const auto* rule = object.As<api::DestinationRule>()) {
    ValidateDestinationRule(*rule, issues);
  } else if (const auto* jwt = object.As<api::RequestAuthentication>()) {
    ValidateRequestAuthentication(*jwt, issues);
  } else if (const auto* telemetry = object.As<api::Telemetry>()) {
    ValidateTelemetry(*telemetry, issues);
  } else if (const auto* workload = object.As<api::WorkloadEntry>()) {
    ValidateWorkloadEntry(*workload, issues);
  } else if (const auto* group = object.As<api::WorkloadGroup>()) {
    ValidateWorkloadGroup(*group, issues);
  } else if (const auto* gateway = object.As<api::Gateway>()) {
    ValidateGateway(*gateway, issues);
  } else if (const auto* service = object.As<api::Service>()) {
    ValidateService(*service, issues);
  } else if (const auto* pod = object.As<api::Pod>()) {
    ValidatePodSpec(pod->spec(), "spec", issues);
  } else if (const auto* deployment = object.As<api::Deployment>()) {
    ValidatePodSpec(deployment->spec().template_().spec(), "spec.template.spec", issues);
  } else if (const auto* set = object.As<api::StatefulSet>()) {
    ValidatePodSpec(set->spec().template_().spec(), "spec.template.spec", issues);
  }
}

}  // namespace mesh::k8s

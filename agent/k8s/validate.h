// Semantic validation: what the API server and Istio's webhook refuse is refused here, naming the
// same field. Decoding (types, unknown fields) came before.
#pragma once

#include <vector>

#include "agent/k8s/object.h"

namespace mesh::k8s {

void Validate(const Object& object, std::vector<Issue>& issues);

// One file per kind whose rules are long.
void ValidateAuthorizationPolicy(const api::AuthorizationPolicy& policy,
                                 std::vector<Issue>& issues);
void ValidateServiceEntry(const api::ServiceEntry& entry, std::vector<Issue>& issues);
void ValidateGateway(const api::Gateway& gateway, std::vector<Issue>& issues);
void ValidateVirtualService(const api::VirtualService& object, std::vector<Issue>& issues);
void ValidateDestinationRule(const api::DestinationRule& rule, std::vector<Issue>& issues);
void ValidateWorkloadEntry(const api::WorkloadEntry& entry, std::vector<Issue>& issues);
void ValidateWorkloadGroup(const api::WorkloadGroup& group, std::vector<Issue>& issues);

// Parts of a VirtualService. `for_mesh`: it is for the mesh's own traffic, and not for gateways
// alone.
void ValidateHttpRules(const api::VirtualService& object, bool for_mesh,
                       std::vector<Issue>& issues);
void ValidateDestination(const api::Destination& destination, const std::string& field,
                         std::vector<Issue>& issues);

void ValidateRequestAuthentication(const api::RequestAuthentication& object,
                                   std::vector<Issue>& issues);
void ValidateTelemetry(const api::Telemetry& object, std::vector<Issue>& issues);

// Shared by kinds with a selector.
void ValidateSelector(const api::WorkloadSelector& selector, std::vector<Issue>& issues);
// Shared by kinds with a selector or targets. Null: there is none.
void ValidateTargets(const api::WorkloadSelector* selector,
                     const api::PolicyTargetReference* target,
                     const google::protobuf::RepeatedPtrField<api::PolicyTargetReference>& targets,
                     std::vector<Issue>& issues);
template <typename Spec>
void ValidateTargets(const Spec& spec, std::vector<Issue>& issues) {
  ValidateTargets(spec.has_selector() ? &spec.selector() : nullptr,
                  spec.has_target_ref() ? &spec.target_ref() : nullptr, spec.target_refs(), issues);
}

}  // namespace mesh::k8s

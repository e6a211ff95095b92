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
void ValidateWorkloadEntry(const api::WorkloadEntry& entry, std::vector<Issue>& issues);
void ValidateWorkloadGroup(const api::WorkloadGroup& group, std::vector<Issue>& issues);

// Shared by kinds with a selector.
void ValidateSelector(const api::WorkloadSelector& selector, std::vector<Issue>& issues);

}  // namespace mesh::k8s

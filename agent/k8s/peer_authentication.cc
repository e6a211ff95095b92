#include "agent/k8s/peer_authentication.h"

namespace mesh::k8s {
namespace {

using Mode = api::MutualTls::Mode;

// Oldest first, then by name, so that the choice does not depend on the order of arrival. Objects
// without a time (files) count as equally old.
bool IsOlder(const api::PeerAuthentication& a, const api::PeerAuthentication& b) {
  const auto& left = a.metadata();
  const auto& right = b.metadata();
  if (left.creation_timestamp() != right.creation_timestamp()) {
    return left.creation_timestamp() < right.creation_timestamp();
  }
  return left.name() < right.name();
}

bool HasSelector(const api::PeerAuthentication& policy) {
  return !policy.spec().selector().match_labels().empty();
}

void Consider(const api::PeerAuthentication*& best, const api::PeerAuthentication& candidate) {
  if (best == nullptr || IsOlder(candidate, *best)) best = &candidate;
}

void Apply(const api::PeerAuthentication* policy, bool& strict) {
  if (policy == nullptr || policy->spec().mtls().mode() == Mode::MutualTls_Mode_UNSET) return;
  strict = policy->spec().mtls().mode() == Mode::MutualTls_Mode_STRICT;
}

}  // namespace

PeerAuthenticationParent ParentFor(const std::vector<PeerAuthenticationRef>& all,
                                   const std::string& root_namespace, const std::string& ns) {
  const api::PeerAuthentication* mesh = nullptr;
  const api::PeerAuthentication* space = nullptr;
  for (const auto& policy : all) {
    if (HasSelector(*policy)) continue;
    const std::string& policy_ns = policy->metadata().namespace_();
    if (policy_ns == root_namespace) {
      Consider(mesh, *policy);
    } else if (policy_ns == ns) {
      Consider(space, *policy);
    }
  }
  PeerAuthenticationParent parent;
  Apply(mesh, parent.strict);
  Apply(space, parent.strict);
  return parent;
}

EffectivePeerAuthentication EffectiveFor(const std::vector<PeerAuthenticationRef>& all,
                                         const std::string& root_namespace, const std::string& ns,
                                         const Labels& labels) {
  EffectivePeerAuthentication effective;
  effective.strict = ParentFor(all, root_namespace, ns).strict;
  const api::PeerAuthentication* workload = nullptr;
  for (const auto& policy : all) {
    const std::string& policy_ns = policy->metadata().namespace_();
    // A selector in the root namespace selects nothing.
    if (policy_ns != ns || policy_ns == root_namespace || !HasSelector(*policy)) continue;
    if (Matches(policy->spec().selector().match_labels(), labels)) Consider(workload, *policy);
  }
  if (workload == nullptr) return effective;
  Apply(workload, effective.strict);
  for (const auto& [port, mtls] : workload->spec().port_level_mtls()) {
    if (mtls.mode() == Mode::MutualTls_Mode_UNSET) continue;
    const bool strict = mtls.mode() == Mode::MutualTls_Mode_STRICT;
    if (strict != effective.strict) effective.ports[port] = strict;
  }
  if (!effective.ports.empty()) effective.workload = workload;
  return effective;
}

}  // namespace mesh::k8s

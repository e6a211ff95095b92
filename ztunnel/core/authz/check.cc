#include <fmt/format.h>

#include <algorithm>

#include "ztunnel/core/authz/compiled.h"

namespace mesh::authz {
namespace {

bool Allows(bool constraint_is_empty, bool matches) { return constraint_is_empty || matches; }

// The first enforced policy of `deny`'s kind that matches; dry-run ones that match go to `told`,
// which may be null.
const Policy* FirstMatch(std::span<const PolicyRef> policies, bool deny, const Probe& probe,
                         std::vector<std::string>* told) {
  const Policy* found = nullptr;
  for (const PolicyRef& policy : policies) {
    if (policy->deny != deny || (policy->dry_run ? told == nullptr : found != nullptr)) continue;
    if (!policy->Matches(probe)) continue;
    if (policy->dry_run) {
      told->push_back((deny ? "denied policy=" : "allowed policy=") + policy->key);
    } else {
      found = policy.get();
    }
  }
  return found;
}

}  // namespace

Probe::Probe(const Connection& c)
    : connection(c),
      principal(c.source ? c.source->Principal() : ""),
      ns(c.source ? std::string_view(c.source->ns) : ""),
      principal_key(PrincipalKey(principal)),
      account_key(c.source ? AccountKey(ns, c.source->service_account) : 0),
      namespace_key(NamespaceKey(ns)),
      port_key(PortKey(c.destination_port)) {}

bool CompiledMatch::Matches(const Probe& probe) const {
  const Connection& c = probe.connection;
  const uint32_t port = c.destination_port;
  const bool known = c.source.has_value();
  // Without an identity no matcher of principals or accounts matches, `presence` included.
  if (!Allows(principals.empty(), known && principals.Matches(probe.principal))) return false;
  if (known && not_principals.Matches(probe.principal)) return false;
  if (!Allows(namespaces.empty(), namespaces.Matches(probe.ns))) return false;
  if (not_namespaces.Matches(probe.ns)) return false;
  if (!Allows(ports.empty(), ports.Matches(port)) || not_ports.Matches(port)) return false;
  if (!Allows(source_ips.empty(), source_ips.Matches(c.source_ip))) return false;
  if (not_source_ips.Matches(c.source_ip)) return false;
  if (!Allows(destination_ips.empty(), destination_ips.Matches(c.destination_ip))) return false;
  if (not_destination_ips.Matches(c.destination_ip)) return false;
  if (accounts.empty() && not_accounts.empty()) return true;
  if (!known) return accounts.empty();
  const std::pair<std::string, std::string> account(c.source->ns, c.source->service_account);
  return Allows(accounts.empty(), accounts.Matches(account)) && !not_accounts.Matches(account);
}

bool CompiledRule::Matches(const Probe& probe) const {
  return always || index.AnyOf(probe, [&](uint32_t i) { return matches[i].Matches(probe); });
}

bool CompiledGroup::Matches(const Probe& probe) const {
  return std::all_of(rules.begin(), rules.end(),
                     [&](const CompiledRule& rule) { return rule.Matches(probe); });
}

bool Policy::Matches(const Probe& probe) const {
  return index.AnyOf(probe, [&](uint32_t i) { return groups[i].Matches(probe); });
}

Decision Check(std::span<const PolicyRef> policies, const Connection& connection, DryRun dry_run) {
  Decision decision{.allowed = true, .policy = "", .explanation = "no_policy", .dry_run = {}};
  if (policies.empty()) return decision;
  const Probe probe(connection);
  std::vector<std::string>* told = dry_run == DryRun::kTell ? &decision.dry_run : nullptr;
  if (const Policy* by = FirstMatch(policies, /*deny=*/true, probe, told)) {
    decision.allowed = false;
    decision.policy = by->key;
    decision.explanation = "denied by " + by->key;
    return decision;
  }
  const Policy* by = FirstMatch(policies, /*deny=*/false, probe, told);
  const auto enforced_allows = std::count_if(policies.begin(), policies.end(),
                                             [](const auto& p) { return !p->deny && !p->dry_run; });
  if (enforced_allows == 0) {
    decision.explanation = "no ALLOW policy applies";
  } else if (by != nullptr) {
    decision.policy = by->key;
    decision.explanation = "allowed by " + by->key;
  } else {
    decision.allowed = false;
    decision.explanation = fmt::format("no ALLOW policy matches ({} apply)", enforced_allows);
  }
  return decision;
}

}  // namespace mesh::authz

#include "agent/controller/l7/destination_rules.h"

#include <algorithm>
#include <tuple>

namespace mesh::controller {
namespace {

auto AgeOf(const DestinationRuleRef& rule) {
  const api::ObjectMeta& meta = rule->metadata();
  return std::tie(meta.creation_timestamp(), meta.name(), meta.namespace_());
}

bool SameExport(const DestinationRuleRef& a, const DestinationRuleRef& b) {
  const auto set = [](const DestinationRuleRef& rule) {
    return std::set<std::string>(rule->spec().export_to().begin(), rule->spec().export_to().end());
  };
  return set(a) == set(b);
}

void Merge(const DestinationRuleRef& rule, MergedRule& into) {
  into.rules.push_back(rule);
  if (into.policy == nullptr && rule->spec().has_traffic_policy()) {
    into.policy = &rule->spec().traffic_policy();
  }
  for (const api::Subset& subset : rule->spec().subsets()) {
    if (into.FindSubset(subset.name()) == nullptr) into.subsets.push_back(&subset);
  }
}

// What `policy` says of the blocks that it has.
void Overlay(const api::TrafficPolicy& policy, EffectivePolicy& out) {
  if (policy.has_load_balancer()) out.load_balancer = &policy.load_balancer();
  if (policy.has_connection_pool()) out.connection_pool = &policy.connection_pool();
  if (policy.has_outlier_detection()) out.outlier_detection = &policy.outlier_detection();
  if (policy.has_tls()) out.tls = &policy.tls();
  if (policy.has_proxy_protocol()) out.proxy_protocol = &policy.proxy_protocol();
  if (policy.has_retry_budget()) out.retry_budget = &policy.retry_budget();
}

// An entry for the port replaces its four blocks wholly: what it leaves out is the default.
void OverlayPort(const api::TrafficPolicy& policy, uint32_t port, EffectivePolicy& out) {
  for (const api::PortTrafficPolicy& entry : policy.port_level_settings()) {
    if (entry.port().number() != port) continue;
    out.load_balancer = entry.has_load_balancer() ? &entry.load_balancer() : nullptr;
    out.connection_pool = entry.has_connection_pool() ? &entry.connection_pool() : nullptr;
    out.outlier_detection = entry.has_outlier_detection() ? &entry.outlier_detection() : nullptr;
    out.tls = entry.has_tls() ? &entry.tls() : nullptr;
    return;
  }
}

}  // namespace

const api::Subset* MergedRule::FindSubset(const std::string& name) const {
  for (const api::Subset* subset : subsets) {
    if (subset->name() == name) return subset;
  }
  return nullptr;
}

std::string MergedRule::Name() const { return ns + "/" + rules.front()->metadata().name(); }

std::string MergedRule::Origin() const { return "DestinationRule " + Name(); }

DestinationRules::DestinationRules(std::vector<DestinationRuleRef> all, const Settings& settings)
    : settings_(settings) {
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return AgeOf(a) < AgeOf(b); });
  for (const DestinationRuleRef& rule : all) {
    for (const api::Subset& subset : rule->spec().subsets()) {
      for (const auto& [key, value] : subset.labels()) subset_keys_.insert(key);
    }
    const std::string& ns = rule->metadata().namespace_();
    const std::string host = ExpandHost(rule->spec().host(), ns, settings.cluster_domain);
    if (const auto& clients = rule->spec().workload_selector().match_labels(); !clients.empty()) {
      MergedRule& own = selecting_.emplace_back();
      own.ns = ns;
      own.host = host;
      own.clients = &clients;
      Merge(rule, own);
      continue;
    }
    std::vector<MergedRule>& merged = by_namespace_[ns];
    const auto same = std::find_if(merged.begin(), merged.end(), [&](const MergedRule& other) {
      return other.host == host && SameExport(other.rules.front(), rule);
    });
    MergedRule& into = same != merged.end() ? *same : merged.emplace_back();
    into.ns = ns;
    into.host = host;
    Merge(rule, into);
  }
}

const MergedRule* DestinationRules::Best(const std::string& ns, const std::string& client_ns,
                                         const std::string& host) const {
  const auto rules = by_namespace_.find(ns);
  if (rules == by_namespace_.end()) return nullptr;
  const MergedRule* best = nullptr;
  for (const MergedRule& rule : rules->second) {
    const auto& export_to = rule.rules.front()->spec().export_to();
    if (ns != client_ns && !IsExportedTo(export_to, {}, ns, client_ns)) continue;
    if (!CoversHost(rule.host, host)) continue;
    if (best == nullptr || SpecificityOf(rule.host) > SpecificityOf(best->host)) best = &rule;
  }
  return best;
}

std::vector<const MergedRule*> DestinationRules::SelectingFor(const L7Service& service) const {
  std::vector<const MergedRule*> rules;
  for (const MergedRule& rule : selecting_) {
    if (CoversHost(rule.host, service.host)) rules.push_back(&rule);
  }
  std::sort(rules.begin(), rules.end(), [](const MergedRule* a, const MergedRule* b) {
    const size_t x = SpecificityOf(a->host);
    const size_t y = SpecificityOf(b->host);
    return x != y ? x > y : a < b;  // they stand in the order of their age
  });
  return rules;
}

const MergedRule* DestinationRules::Selecting(const L7Service& service, std::string& client) const {
  for (const MergedRule& rule : selecting_) {
    if (rule.Name() != client) continue;
    if (CoversHost(rule.host, service.host)) return &rule;
    client = rule.ns;
    return nullptr;
  }
  return nullptr;
}

const MergedRule* DestinationRules::For(const std::string& client, const L7Service& service) const {
  std::string client_ns = client;
  if (const MergedRule* rule = Selecting(service, client_ns)) return rule;
  for (const std::string& ns : {client_ns, service.ns(), settings_.root_namespace}) {
    if (const MergedRule* rule = Best(ns, client_ns, service.host)) return rule;
  }
  return nullptr;
}

std::string DestinationRules::ViewOf(const std::string& client, const L7Service& service) const {
  std::string client_ns = client;
  if (Selecting(service, client_ns) != nullptr) return client;
  if (client_ns == service.ns() || client_ns.empty()) return "";
  return For(client_ns, service) == For(service.ns(), service) ? "" : client_ns;
}

std::set<std::string> DestinationRules::Namespaces() const {
  std::set<std::string> namespaces;
  for (const auto& [ns, rules] : by_namespace_) namespaces.insert(ns);
  return namespaces;
}

EffectivePolicy PolicyFor(const MergedRule& rule, uint32_t port, const std::string& subset) {
  EffectivePolicy out;
  if (rule.policy != nullptr) {
    Overlay(*rule.policy, out);
    OverlayPort(*rule.policy, port, out);
  }
  const api::Subset* chosen = subset.empty() ? nullptr : rule.FindSubset(subset);
  if (chosen != nullptr && chosen->has_traffic_policy()) {
    Overlay(chosen->traffic_policy(), out);
    OverlayPort(chosen->traffic_policy(), port, out);
  }
  return out;
}

}  // namespace mesh::controller

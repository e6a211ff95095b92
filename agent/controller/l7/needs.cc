#include "agent/controller/l7/needs.h"

#include <fmt/format.h>

#include "agent/controller/l7/http_match.h"

namespace mesh::controller {

void L7Needs::Add(const std::string& host, const std::string& why) {
  (IsWildcardHost(host) ? wildcards_ : exact_).emplace(host, why);
}

void L7Needs::Add(const api::VirtualService& rule, const Settings& settings) {
  const api::ObjectMeta& meta = rule.metadata();
  if (!IsForMesh(rule.spec().gateways())) return;
  for (const std::string& host : rule.spec().hosts()) {
    Add(ExpandHost(host, meta.namespace_(), settings.cluster_domain),
        fmt::format("VirtualService {}/{}", meta.namespace_(), meta.name()));
  }
}

void L7Needs::Add(const api::DestinationRule& rule, const Settings& settings) {
  const api::ObjectMeta& meta = rule.metadata();
  bool has_policy = rule.spec().has_traffic_policy();
  for (const api::Subset& subset : rule.spec().subsets()) has_policy |= subset.has_traffic_policy();
  if (!has_policy) return;  // subsets alone are for routes
  Add(ExpandHost(rule.spec().host(), meta.namespace_(), settings.cluster_domain),
      fmt::format("DestinationRule {}/{}", meta.namespace_(), meta.name()));
}

std::string L7Needs::WhyFor(const std::string& host) const {
  if (const auto it = exact_.find(host); it != exact_.end()) return it->second;
  for (const auto& [pattern, why] : wildcards_) {
    if (CoversHost(pattern, host)) return why;
  }
  return "";
}

}  // namespace mesh::controller

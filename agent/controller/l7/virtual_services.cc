#include "agent/controller/l7/virtual_services.h"

#include <algorithm>
#include <tuple>

#include "agent/controller/l7/http_match.h"

namespace mesh::controller {

VirtualServices::VirtualServices(std::vector<VirtualServiceRef> all, const Settings& settings)
    : settings_(settings), all_(std::move(all)) {
  for (const VirtualServiceRef& rule : all_) {
    const api::ObjectMeta& meta = rule->metadata();
    if (IsDelegate(*rule)) delegates_[{meta.namespace_(), meta.name()}] = rule;
  }
  std::erase_if(all_, [](const VirtualServiceRef& rule) {
    return IsDelegate(*rule) || !IsForMesh(rule->spec().gateways());
  });
  const auto age = [](const VirtualServiceRef& rule) {
    const api::ObjectMeta& meta = rule->metadata();
    return std::tie(meta.creation_timestamp(), meta.name(), meta.namespace_());
  };
  std::sort(all_.begin(), all_.end(),
            [&age](const auto& a, const auto& b) { return age(a) < age(b); });
}

size_t VirtualServices::Covers(const api::VirtualService& rule, const L7Service& service) const {
  size_t best = 0;
  for (const std::string& name : rule.spec().hosts()) {
    const std::string host =
        ExpandHost(name, rule.metadata().namespace_(), settings_.cluster_domain);
    if (CoversHost(host, service.host)) best = std::max(best, SpecificityOf(host));
  }
  return best;
}

std::vector<VirtualServiceRef> VirtualServices::For(const L7Service& service,
                                                    const std::set<std::string>& namespaces,
                                                    const std::string& client_ns) const {
  std::vector<VirtualServiceRef> rules;
  size_t best = 1;
  for (const VirtualServiceRef& rule : all_) {
    const std::string& ns = rule->metadata().namespace_();
    if (!namespaces.contains(ns)) continue;
    const size_t specific = Covers(*rule, service);
    if (specific < best || !IsExportedTo(rule->spec().export_to(), {}, ns, client_ns)) continue;
    if (specific > best) rules.clear();
    best = specific;
    rules.push_back(rule);
  }
  return rules;
}

VirtualServiceRef VirtualServices::Delegated(const api::Delegate& delegate,
                                             const std::string& root_ns) const {
  const std::string& ns = delegate.namespace_().empty() ? root_ns : delegate.namespace_();
  const auto found = delegates_.find({ns, delegate.name()});
  if (found == delegates_.end()) return nullptr;
  const bool seen = IsExportedTo(found->second->spec().export_to(), {}, ns, root_ns);
  return seen ? found->second : nullptr;
}

std::set<std::string> VirtualServices::NamespacesFor(const L7Service& service) const {
  std::set<std::string> namespaces;
  for (const VirtualServiceRef& rule : all_) {
    if (Covers(*rule, service) != 0) namespaces.insert(rule->metadata().namespace_());
  }
  return namespaces;
}

}  // namespace mesh::controller

#include "agent/controller/l7/names.h"

#include <fmt/format.h>

#include <algorithm>

namespace mesh::controller {

std::string ExpandHost(const std::string& host, const std::string& ns, const std::string& domain) {
  if (host.find('.') != std::string::npos || IsWildcardHost(host)) return host;
  return fmt::format("{}.{}.svc.{}", host, ns, domain);
}

bool IsWildcardHost(std::string_view host) { return !host.empty() && host.front() == '*'; }

bool CoversHost(std::string_view pattern, std::string_view host) {
  if (!IsWildcardHost(pattern)) return pattern == host;
  if (IsWildcardHost(host)) host.remove_prefix(1);
  const std::string_view suffix = pattern.substr(1);
  return host.size() >= suffix.size() && host.substr(host.size() - suffix.size()) == suffix;
}

size_t SpecificityOf(std::string_view pattern) {
  constexpr size_t kExact = 1 << 16;  // a host has at most 255 characters
  return IsWildcardHost(pattern) ? pattern.size() : kExact;
}

bool IsExportedTo(const Strings& export_to, const std::vector<std::string>& by_default,
                  const std::string& owner, const std::string& client) {
  const auto admits = [&](const std::string& value) {
    return value == "*" || value == client || (value == "." && owner == client);
  };
  if (!export_to.empty()) return std::any_of(export_to.begin(), export_to.end(), admits);
  return by_default.empty() || std::any_of(by_default.begin(), by_default.end(), admits);
}

std::string ClusterRef::Name() const {
  return fmt::format("outbound|{}|{}|{}{}{}{}{}", port, subset, host, ns.empty() ? "" : "#", ns,
                     view.empty() ? "" : "@", view);
}

}  // namespace mesh::controller

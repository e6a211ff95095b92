// Host names, visibility and names of clusters: the rules that all L7 kinds share.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <string>
#include <string_view>
#include <vector>

namespace mesh::controller {

// A name without a dot is a service of the rule's own namespace; anything else is complete.
std::string ExpandHost(const std::string& host, const std::string& ns, const std::string& domain);

bool IsWildcardHost(std::string_view host);
// `pattern` is a host or *.suffix.
bool CoversHost(std::string_view pattern, std::string_view host);
// How much of a host a pattern says: an exact one most, then the longest wildcard.
size_t SpecificityOf(std::string_view pattern);

// Whether an object of namespace `owner` is seen by clients of `client`.
using Strings = google::protobuf::RepeatedPtrField<std::string>;
bool IsExportedTo(const Strings& export_to, const std::vector<std::string>& by_default,
                  const std::string& owner, const std::string& client);

// One Cluster resource: a service port, or a subset of its endpoints, as one namespace's
// DestinationRules say it is spoken to.
struct ClusterRef {
  std::string host;
  std::string ns;  // of the service, where it is not the one that everybody means by the host
  uint32_t port = 0;
  std::string subset;
  // The client namespace whose own rules count; empty: those of the service.
  std::string view;

  // outbound|PORT|SUBSET|HOST, and behind it #NS and @VIEW where there is one.
  std::string Name() const;
  auto operator<=>(const ClusterRef&) const = default;
};

}  // namespace mesh::controller

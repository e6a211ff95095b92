// Header operations of a route and of its backends.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <vector>

#include "ztunnel/waypoint/http/message.h"
#include "ztunnel/waypoint/route/substitution.h"

namespace mesh::l7::v1 {
class HeaderOps;
}

namespace mesh::route {

struct HeaderOps {
  struct Pair {
    std::string name;  // lower case
    Template value;
  };
  std::vector<std::string> remove;
  std::vector<Pair> set, add;         // values that come out empty change nothing
  std::optional<Template> authority;  // "host" or ":authority", set before add; requests only

  bool empty() const { return remove.empty() && set.empty() && add.empty() && !authority; }
};

// Names in any case. Refused: other pseudo-headers, names and values that HTTP does not allow,
// removing the host.
absl::StatusOr<HeaderOps> CompileHeaderOps(const l7::v1::HeaderOps& ops, bool request);

// Remove, set, add. What a value makes of foreign input is dropped when HTTP does not allow it.
void Apply(const HeaderOps& ops, const Facts& facts, http::HeaderMap& headers);

}  // namespace mesh::route

#include "agent/controller/ca/spiffe.h"

#include <string>

#include "ztunnel/base/status.h"

namespace mesh::controller {
namespace {

bool IsName(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  for (const char c : text) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '.' || c == '_';
    if (!ok) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<SpiffeId> ParseIssuable(std::string_view uri) {
  ASSIGN_OR_RETURN(SpiffeId id, SpiffeId::Parse(uri));
  for (const std::string& part : {id.trust_domain, id.ns, id.service_account}) {
    if (!IsName(part)) return Invalid("{} has what no name has: {}", uri.substr(0, 300), part);
  }
  return id;
}

}  // namespace mesh::controller

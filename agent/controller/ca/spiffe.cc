#include "agent/controller/ca/spiffe.h"

#include <array>

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

absl::StatusOr<SpiffeId> SpiffeId::Parse(std::string_view uri) {
  constexpr std::string_view kScheme = "spiffe://";
  const auto fail = [uri] {
    return Invalid("{} is not spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT", uri.substr(0, 300));
  };
  if (uri.substr(0, kScheme.size()) != kScheme) return fail();
  std::array<std::string_view, 5> parts;
  std::string_view rest = uri.substr(kScheme.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t slash = rest.find('/');
    if ((slash == std::string_view::npos) != (i + 1 == parts.size())) return fail();
    parts[i] = rest.substr(0, slash);
    if (slash != std::string_view::npos) rest = rest.substr(slash + 1);
  }
  if (parts[1] != "ns" || parts[3] != "sa") return fail();
  if (!IsName(parts[0]) || !IsName(parts[2]) || !IsName(parts[4])) return fail();
  return SpiffeId{std::string(parts[0]), std::string(parts[2]), std::string(parts[4])};
}

std::string SpiffeId::ToString() const {
  return "spiffe://" + trust_domain + "/ns/" + ns + "/sa/" + service_account;
}

}  // namespace mesh::controller

#include "ztunnel/base/spiffe.h"

#include <fmt/format.h>

#include <array>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh {
namespace {

constexpr std::string_view kScheme = "spiffe://";
// SPIFFE ID specification, section 2: 2048 bytes at most.
constexpr size_t kMaxUri = 2048;

absl::Status Malformed(std::string_view uri, std::string_view why) {
  return Invalid("identity {}: {}; want spiffe://<trust domain>/ns/<namespace>/sa/<account>",
                 Quoted(uri.substr(0, 256)), why);
}

bool HasControlByte(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<SpiffeId> SpiffeId::Parse(std::string_view uri) {
  if (!uri.starts_with(kScheme)) return Malformed(uri, "does not begin with spiffe://");
  if (uri.size() > kMaxUri) return Malformed(uri, "longer than 2048 bytes");
  if (HasControlByte(uri)) return Malformed(uri, "has a space or a control byte");
  std::string_view rest = uri.substr(kScheme.size());
  std::array<std::string_view, 5> parts;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t slash = rest.find('/');
    if ((slash == std::string_view::npos) != (i + 1 == parts.size())) {
      return Malformed(uri, "does not have five parts");
    }
    parts[i] = rest.substr(0, slash);
    if (parts[i].empty()) return Malformed(uri, "has an empty part");
    if (slash != std::string_view::npos) rest.remove_prefix(slash + 1);
  }
  if (parts[1] != "ns") return Malformed(uri, "second part is not ns");
  if (parts[3] != "sa") return Malformed(uri, "fourth part is not sa");
  return SpiffeId{std::string(parts[0]), std::string(parts[2]), std::string(parts[4])};
}

std::string SpiffeId::ToString() const { return std::string(kScheme) + Principal(); }

std::string SpiffeId::Principal() const {
  return fmt::format("{}/ns/{}/sa/{}", trust_domain, ns, service_account);
}

}  // namespace mesh

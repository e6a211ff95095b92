#include "ztunnel/core/identity/control_plane.h"

#include <algorithm>
#include <cctype>

#include "ztunnel/base/files.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::identity {
namespace {

constexpr size_t kMaxFileBytes = 4 << 20;
constexpr std::string_view kHttps = "https://";

std::string Trim(std::string text) {
  const auto space = [](unsigned char c) { return std::isspace(c) != 0; };
  text.erase(std::find_if_not(text.rbegin(), text.rend(), space).base(), text.end());
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), space));
  return text;
}

}  // namespace

absl::StatusOr<std::string> TargetOf(const std::string& address) {
  if (!address.starts_with(kHttps)) {
    return Invalid("control plane address {}: want https://host:port", Quoted(address));
  }
  std::string target = address.substr(kHttps.size());
  if (target.ends_with('/')) target.pop_back();
  if (target.empty() || target.find('/') != std::string::npos) {
    return Invalid("control plane address {}: want https://host:port", Quoted(address));
  }
  const size_t colon = target.rfind(':');
  const bool has_port = colon != std::string::npos && target.find(']', colon) == std::string::npos;
  return has_port ? target : target + ":443";
}

absl::StatusOr<std::string> ReadRoots(const std::string& root_ca) {
  if (root_ca == "SYSTEM") return std::string();
  if (root_ca.find("-----BEGIN") != std::string::npos) return root_ca;
  ASSIGN_OR_RETURN(std::string pem,
                   WithContext(ReadFile(root_ca, kMaxFileBytes), "root certificates"));
  if (pem.find("-----BEGIN") == std::string::npos) {
    return Invalid("root certificates {}: no PEM text in it", root_ca);
  }
  return pem;
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> CallMetadata(
    const ControlPlane& plane) {
  std::vector<std::pair<std::string, std::string>> out;
  if (!plane.token_file.empty()) {
    ASSIGN_OR_RETURN(std::string token,
                     WithContext(ReadFile(plane.token_file, kMaxFileBytes), "token"));
    token = Trim(std::move(token));
    if (token.empty()) return Invalid("token {}: the file is empty", plane.token_file);
    if (!std::all_of(token.begin(), token.end(), [](unsigned char c) { return std::isgraph(c); })) {
      return Invalid("token {}: has a byte that is no part of a token", plane.token_file);
    }
    out.emplace_back("authorization", "Bearer " + token);
  }
  if (!plane.cluster_id.empty()) out.emplace_back("clusterid", plane.cluster_id);
  for (const auto& [name, value] : plane.headers) {
    std::string lower = name;  // HTTP/2 has no capitals in names
    std::transform(lower.begin(), lower.end(), lower.begin(), ::tolower);
    out.emplace_back(std::move(lower), value);
  }
  return out;
}

}  // namespace mesh::identity

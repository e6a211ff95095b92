#include "agent/node/cni/event.h"

#include "agent/k8s/json.h"
#include "ztunnel/base/status.h"

namespace mesh::node {
namespace {

using k8s::Json;

constexpr size_t kMaxBytes = 64 * 1024;
constexpr int kMaxIps = 32;

absl::StatusOr<std::string> Text(const Json& event, std::string_view member) {
  std::string value = k8s::StringMember(event, member);
  if (value.empty()) return Invalid("cmdadd: {} is missing or no string", member);
  // Go's JSON keeps NUL bytes; a path with one would be cut by the kernel.
  if (value.find('\0') != std::string::npos) return Invalid("cmdadd: {} has a NUL byte", member);
  return value;
}

absl::StatusOr<IpAddress> Address(const Json& entry) {
  const Json* address = k8s::Member(entry, "Address");
  const std::string text = address != nullptr ? k8s::StringMember(*address, "IP") : "";
  const auto ip = IpAddress::Parse(text);
  if (!ip) return Invalid("cmdadd: IPs: \"{}\" is no address", text);
  return *ip;
}

}  // namespace

absl::StatusOr<CniEvent> ParseCniEvent(std::string_view json) {
  if (json.size() > kMaxBytes)
    return Invalid("cmdadd: {} bytes, at most {}", json.size(), kMaxBytes);
  ASSIGN_OR_RETURN(const Json event, k8s::FromText(json));
  CniEvent out;
  ASSIGN_OR_RETURN(out.netns_path, Text(event, "Netns"));
  ASSIGN_OR_RETURN(out.pod_name, Text(event, "PodName"));
  ASSIGN_OR_RETURN(out.pod_namespace, Text(event, "PodNamespace"));
  const Json* ips = k8s::Member(event, "IPs");
  if (ips == nullptr || !ips->has_list_value()) return out;
  if (ips->list_value().values_size() > kMaxIps)
    return Invalid("cmdadd: more than {} IPs", kMaxIps);
  for (const Json& entry : ips->list_value().values()) {
    ASSIGN_OR_RETURN(const IpAddress ip, Address(entry));
    out.ips.push_back(ip);
  }
  return out;
}

}  // namespace mesh::node

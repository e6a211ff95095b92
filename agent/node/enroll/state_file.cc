#include "agent/node/enroll/state_file.h"

#include <charconv>
#include <filesystem>
#include <system_error>

#include "agent/k8s/json.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::node {
namespace {

using k8s::Json;

absl::StatusOr<SavedPod> ParsePod(const Json& json) {
  SavedPod pod;
  pod.uid = k8s::StringMember(json, "uid");
  pod.name = k8s::StringMember(json, "name");
  pod.ns = k8s::StringMember(json, "namespace");
  pod.service_account = k8s::StringMember(json, "serviceAccount");
  pod.netns_path = k8s::StringMember(json, "netns");
  const std::string cookie = k8s::StringMember(json, "cookie");
  const auto [end, error] =
      std::from_chars(cookie.data(), cookie.data() + cookie.size(), pod.cookie);
  if (pod.uid.empty() || pod.netns_path.empty() || error != std::errc() ||
      end != cookie.data() + cookie.size()) {
    return Invalid("state: pod {}/{} lacks its uid, netns or cookie", pod.ns, pod.name);
  }
  const Json* ips = k8s::Member(json, "ips");
  if (ips == nullptr) return pod;
  for (const Json& value : ips->list_value().values()) {
    const auto ip = IpAddress::Parse(value.string_value());
    if (!ip)
      return Invalid("state: pod {}/{}: \"{}\" is no address", pod.ns, pod.name,
                     value.string_value());
    pod.ips.push_back(*ip);
  }
  return pod;
}

}  // namespace

std::string FormatState(const std::vector<SavedPod>& pods) {
  Json json;
  auto& list = *(*json.mutable_struct_value()->mutable_fields())["pods"].mutable_list_value();
  for (const SavedPod& pod : pods) {
    auto& fields = *list.add_values()->mutable_struct_value()->mutable_fields();
    fields["uid"].set_string_value(pod.uid);
    fields["name"].set_string_value(pod.name);
    fields["namespace"].set_string_value(pod.ns);
    fields["serviceAccount"].set_string_value(pod.service_account);
    fields["netns"].set_string_value(pod.netns_path);
    fields["cookie"].set_string_value(std::to_string(pod.cookie));  // 64 bits are too many for JSON
    auto& ips = *fields["ips"].mutable_list_value();
    for (const IpAddress& ip : pod.ips) ips.add_values()->set_string_value(ip.ToString());
  }
  return k8s::ToText(json, true);
}

absl::StatusOr<std::vector<SavedPod>> ParseState(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, k8s::FromText(text));
  std::vector<SavedPod> pods;
  const Json* list = k8s::Member(json, "pods");
  if (list == nullptr || !list->has_list_value()) return Invalid("state: no list of pods");
  for (const Json& entry : list->list_value().values()) {
    ASSIGN_OR_RETURN(SavedPod pod, ParsePod(entry));
    pods.push_back(std::move(pod));
  }
  return pods;
}

absl::StatusOr<std::vector<SavedPod>> LoadState(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return NotFound("{} is absent", path);
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return WithContext(ParseState(text), path);
}

absl::Status SaveState(const std::string& path, const std::vector<SavedPod>& pods) {
  return WriteFile(path, FormatState(pods));
}

}  // namespace mesh::node

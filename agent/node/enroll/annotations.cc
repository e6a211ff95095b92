#include "agent/node/enroll/annotations.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "agent/k8s/json.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::node {
namespace {

constexpr std::string_view kSuffix = ".patch.json";

absl::Status Remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Errno(errno, "remove {}", path);
  return absl::OkStatus();
}

}  // namespace

// Names of Kubernetes have no '_', so the parts stay apart.
std::string PatchAnnotator::PathOf(const std::string& ns, const std::string& name) const {
  return fmt::format("{}/{}_pod_{}_{}{}", directory_, node_, ns, name, kSuffix);
}

absl::Status PatchAnnotator::Set(const std::string& ns, const std::string& name,
                                 std::string_view value) {
  if (directory_.empty()) return absl::OkStatus();
  k8s::Json json;
  auto& fields = *json.mutable_struct_value()->mutable_fields();
  fields["apiVersion"].set_string_value("v1");
  fields["kind"].set_string_value("Pod");
  auto& metadata = *fields["metadata"].mutable_struct_value()->mutable_fields();
  metadata["name"].set_string_value(name);
  metadata["namespace"].set_string_value(ns);
  auto& annotations = *metadata["annotations"].mutable_struct_value()->mutable_fields();
  annotations["ambient.istio.io/redirection"].set_string_value(std::string(value));
  return WriteFile(PathOf(ns, name), k8s::ToText(json));
}

absl::Status PatchAnnotator::Clear(const std::string& ns, const std::string& name) {
  return directory_.empty() ? absl::OkStatus() : Remove(PathOf(ns, name));
}

absl::Status PatchAnnotator::ClearOthers(const StringSet& keep) {
  if (directory_.empty()) return absl::OkStatus();
  const std::string prefix = node_ + "_pod_";
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory_, error), end; !error && it != end;
       it.increment(error)) {
    const std::string file = it->path().filename().string();
    if (!file.starts_with(prefix) || !file.ends_with(kSuffix)) continue;
    std::string pod = file.substr(prefix.size(), file.size() - prefix.size() - kSuffix.size());
    const size_t split = pod.find('_');
    if (split == std::string::npos) continue;
    pod[split] = '/';
    if (!keep.contains(pod)) RETURN_IF_ERROR(Remove(it->path().string()));
  }
  return absl::OkStatus();
}

}  // namespace mesh::node

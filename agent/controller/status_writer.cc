#include "agent/controller/status_writer.h"

#include <absl/time/clock.h>
#include <dirent.h>
#include <fmt/format.h>
#include <unistd.h>

#include <set>

#include "agent/controller/ca/certificate_authority.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {
namespace {

using k8s::Child;
using k8s::Set;

std::string PatchOf(const k8s::Key& key, const api::Condition& condition, const std::string& time) {
  k8s::Json patch;
  Set(patch, "apiVersion", k8s::ApiVersionOf(key.kind));
  Set(patch, "kind", std::string(k8s::NameOf(key.kind)));
  k8s::Json& metadata = Child(patch, "metadata");
  Set(metadata, "name", key.name);
  Set(metadata, "namespace", key.ns);
  k8s::Json& written = k8s::Append(Child(Child(patch, "status"), "conditions"));
  Set(written, "type", condition.type());
  Set(written, "status", condition.status());
  Set(written, "reason", condition.reason());
  Set(written, "message", condition.message());
  if (condition.observed_generation() != 0) {
    k8s::SetNumber(written, "observedGeneration",
                   static_cast<double>(condition.observed_generation()));
  }
  if (!time.empty()) Set(written, "lastTransitionTime", time);
  return k8s::ToText(patch, true);
}

}  // namespace

std::string StatusWriter::PathOf(const k8s::Key& key) const {
  std::string kind(k8s::NameOf(key.kind));
  for (char& c : kind) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return fmt::format("{}/status_{}_{}_{}.patch.json", directory_, kind, key.ns, key.name);
}

void StatusWriter::Write(const std::map<k8s::Key, std::optional<api::Condition>>& conditions) {
  if (directory_.empty()) return;
  for (const auto& [key, condition] : conditions) {
    if (!condition) {
      if (written_.erase(key) != 0) ::unlink(PathOf(key).c_str());
      continue;
    }
    std::string text = PatchOf(key, *condition, "");
    std::string& before = written_[key];
    if (before == text) continue;
    const std::string now =
        absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
    const absl::Status status = WriteFile(PathOf(key), PatchOf(key, *condition, now), 0644);
    if (!status.ok()) {
      Logger("status")->warn("status not written object={} err={}", key.ToString(),
                             Describe(status));
      continue;
    }
    before = std::move(text);
  }
}

void StatusWriter::Sweep() const {
  if (directory_.empty()) return;
  std::set<std::string> claimed;
  for (const auto& [key, text] : written_) claimed.insert(PathOf(key));
  DIR* dir = ::opendir(directory_.c_str());
  if (dir == nullptr) return;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    const std::string path = directory_ + "/" + name;
    if (name.rfind("status_", 0) == 0 && claimed.count(path) == 0) ::unlink(path.c_str());
  }
  ::closedir(dir);
}

}  // namespace mesh::controller

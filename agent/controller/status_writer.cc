#include "agent/controller/status_writer.h"

#include <absl/time/clock.h>
#include <dirent.h>
#include <fmt/format.h>
#include <unistd.h>

#include <set>

#include "agent/controller/problem_conditions.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {
namespace {

using k8s::Child;
using k8s::Set;

std::string PatchOf(const k8s::Key& key, const ObjectStatus& status, const std::string& time) {
  k8s::Json patch;
  Set(patch, "apiVersion", k8s::ApiVersionOf(key.kind));
  Set(patch, "kind", std::string(k8s::NameOf(key.kind)));
  k8s::Json& metadata = Child(patch, "metadata");
  Set(metadata, "name", key.name);
  Set(metadata, "namespace", key.ns);
  k8s::Json& written = Child(patch, "status");
  for (const api::Condition& condition : status.conditions) {
    k8s::Json& item = k8s::Append(Child(written, "conditions"));
    Set(item, "type", condition.type());
    Set(item, "status", condition.status());
    Set(item, "reason", condition.reason());
    Set(item, "message", condition.message());
    if (condition.observed_generation() != 0) {
      k8s::SetNumber(item, "observedGeneration",
                     static_cast<double>(condition.observed_generation()));
    }
    if (!time.empty()) Set(item, "lastTransitionTime", time);
  }
  for (const api::ServiceEntryAddress& address : status.addresses) {
    k8s::Json& item = k8s::Append(Child(written, "addresses"));
    Set(item, "host", address.host());
    Set(item, "value", address.value());
  }
  for (const api::GatewayAddress& address : status.gateway_addresses) {
    k8s::Json& item = k8s::Append(Child(written, "addresses"));
    Set(item, "type", address.type());
    Set(item, "value", address.value());
  }
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

void StatusWriter::Write(const std::map<k8s::Key, ObjectStatus>& statuses) {
  if (directory_.empty()) return;
  for (const auto& [key, status] : statuses) {
    if (status.empty()) {
      statuses_.erase(key);
    } else {
      statuses_.insert_or_assign(key, status);
    }
    Update(key);
  }
}

void StatusWriter::WriteConditions(std::map<k8s::Key, api::Condition> conditions) {
  if (directory_.empty()) return;
  std::erase_if(conditions, [](const auto& entry) { return !OwnsConditions(entry.first.kind); });
  conditions_.swap(conditions);
  for (const auto& [key, condition] : conditions) {
    if (conditions_.count(key) == 0) Update(key);
  }
  for (const auto& [key, condition] : conditions_) Update(key);
}

void StatusWriter::Update(const k8s::Key& key) {
  ObjectStatus status;
  if (const auto it = statuses_.find(key); it != statuses_.end()) status = it->second;
  if (const auto it = conditions_.find(key); it != conditions_.end()) {
    status.conditions.push_back(it->second);
  }
  if (status.empty()) {
    if (written_.erase(key) != 0) ::unlink(PathOf(key).c_str());
    return;
  }
  std::string text = PatchOf(key, status, "");
  const auto before = written_.find(key);
  if (before != written_.end() && before->second == text) return;
  const std::string now = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
  const absl::Status done = WriteFile(PathOf(key), PatchOf(key, status, now), 0644);
  if (!done.ok()) {
    Logger("status")->warn("status not written object={} err={}", key.ToString(), Describe(done));
    return;
  }
  written_.insert_or_assign(key, std::move(text));
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
